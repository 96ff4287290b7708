"""What four tools said about the same faults, as their study published it; no tool of them judged the other cases.

Source: replication package of "An Empirical Study of Fault Localisation Techniques for Deep Learning" (2025),
https://github.com/dlfaults/dnn-auto-fl-empirical-assesment. Seconds are those of the
original programs on the study's machine.
"""

TOOLS = ("DeepFD", "DeepDiagnosis", "NeuraLint", "UMLAUT")

_NOT_APPLICABLE = dict.fromkeys(TOOLS, "not applicable")

# The answer, and whether it names the initialisation.
ANSWERS: dict[str, dict[str, str]] = {
    "M1": {
        "DeepFD": "no: learning rate, activation, loss, epochs",
        "DeepDiagnosis": "no: learning rate",
        "NeuraLint": "yes: layer 1 constant",
        "UMLAUT": "no: learning rate high, missing softmax, overfitting",
    },
    "C3": {
        "DeepFD": "no: optimizer, activation, loss, epochs",
        "DeepDiagnosis": "no: activation to softmax",
        "NeuraLint": "yes: constant (names layer 3/4)",
        "UMLAUT": "no: overfitting",
    },
    "R6": {
        "DeepFD": "no: optimizer, activation, loss, epochs",
        "DeepDiagnosis": "no: activation to softmax",
        "NeuraLint": "yes: layer 1 constant",
        "UMLAUT": "no: missing softmax",
    },
    "LeNet": _NOT_APPLICABLE,
}

SECONDS: dict[str, dict[str, float]] = {
    "M1": {"DeepFD": 605, "DeepDiagnosis": 6.3, "NeuraLint": 3.9, "UMLAUT": 40},
    "C3": {"DeepFD": 321, "DeepDiagnosis": 5.7, "NeuraLint": 3.5, "UMLAUT": 141},
    "R6": {"DeepFD": 133, "DeepDiagnosis": 3.7, "NeuraLint": 3.4, "UMLAUT": 9},
}


def answer(case: str, tool: str) -> str:
    """Return the published answer and its seconds, or a dash where none was published."""
    text = ANSWERS.get(case, {}).get(tool, "-")
    seconds = SECONDS.get(case, {}).get(tool)
    return text if seconds is None else f"{text} ({seconds:g} s)"


def found(tool: str) -> str:
    """Return how many of the three mutants a tool diagnosed as an initialisation fault."""
    return f"{sum(ANSWERS[case][tool].startswith('yes') for case in ('M1', 'C3', 'R6'))} of 3"
