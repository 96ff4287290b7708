"""Models, data and initializers named on a command line."""

import numpy as np
import pytest

from keras_initkit.study.sources import data_named, function_named, initializers_named


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "user_code.py").write_text(
        "def pair(): return [1.0], [2.0]\ndef pairs(): return (1, 2), (3, 4)\ndef wrong(): return 5\nnumber = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("module")
def test_functions_are_found_by_module_and_name():
    assert function_named("--model", "user_code:pair")() == ([1.0], [2.0])
    with pytest.raises(ValueError, match="Expected `--model` as module:function. Received: 'user_code'"):
        function_named("--model", "user_code")
    with pytest.raises(ValueError, match="there is no module 'no_such_module'"):
        function_named("--model", "no_such_module:f")
    with pytest.raises(ValueError, match=r"but number is 3 \(of type int\)"):
        function_named("--model", "user_code:number")
    with pytest.raises(ValueError, match="but user_code has no nothing"):
        function_named("--model", "user_code:nothing")


@pytest.mark.usefixtures("module")
def test_data_of_functions():
    assert data_named("user_code:pair") == (([1.0], [2.0]), None)
    assert data_named("user_code:pairs") == ((1, 2), (3, 4))
    with pytest.raises(ValueError, match="Received: int"):
        data_named("user_code:wrong")


@pytest.mark.parametrize("names", [("x", "y", "x_val", "y_val"), ("x_train", "y_train", "x_test", "y_test")])
def test_data_of_files(tmp_path, names):
    arrays = {name: np.full(3, index) for index, name in enumerate(names)}
    np.savez(tmp_path / "data.npz", **arrays)
    (x, y), validation = data_named(str(tmp_path / "data.npz"))
    assert (x[0], y[0], validation[0][0], validation[1][0]) == (0, 1, 2, 3)
    np.savez(tmp_path / "data.npz", **dict(list(arrays.items())[:2]))
    assert data_named(str(tmp_path / "data.npz"))[1] is None


def test_files_that_do_not_hold_data(tmp_path):
    with pytest.raises(ValueError, match="which does not exist"):
        data_named(str(tmp_path / "none.npz"))
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(ValueError, match=r"to be an .npz file of plain arrays"):
        data_named(str(tmp_path / "text.npz"))
    np.savez(tmp_path / "other.npz", a=np.ones(2))
    with pytest.raises(ValueError, match=r"Expected arrays x and y .* Received: a\."):
        data_named(str(tmp_path / "other.npz"))


def test_initializers_with_arguments():
    named = initializers_named("zeros, RandomNormal(stddev=0.01),ZerO,Tiled(distinct=2, initializer='he_normal')")
    assert list(named) == ["zeros", "RandomNormal(stddev=0.01)", "ZerO", "Tiled(distinct=2, initializer='he_normal')"]
    assert named["Tiled(distinct=2, initializer='he_normal')"].distinct == 2
    assert named["RandomNormal(stddev=0.01)"].stddev == 0.01


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zeros,,ones", "names separated by commas"),
        ("RandomNormal(size=3)", "RandomNormal"),
        ("zeros,zeros", "different initializers"),
        ("", "at least one"),
        ("RandomNormal(0.1)", "name or Class\\(argument=value\\)"),
        ("3", "name or Class\\(argument=value\\)"),
        ("HeNorml(seed=1)", "Did you mean"),
    ],
)
def test_initializers_that_cannot_be_understood(text, message):
    with pytest.raises(ValueError, match=message):
        initializers_named(text)
