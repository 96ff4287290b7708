"""Symmetry of hidden units, as pure functions from arrays to numbers (NumPy and SciPy alone).

The mathematics is explained in the README beside this file.
"""

from keras_initkit.symmetry.classes import equivalence_classes as equivalence_classes
from keras_initkit.symmetry.null_permutation import PermutationNull as PermutationNull
from keras_initkit.symmetry.null_permutation import permutation_null as permutation_null
from keras_initkit.symmetry.similarity import Similarity as Similarity
from keras_initkit.symmetry.similarity import cosine_matrix as cosine_matrix
from keras_initkit.symmetry.similarity import mean_cosine as mean_cosine
from keras_initkit.symmetry.similarity import participation_ratio as participation_ratio
from keras_initkit.symmetry.similarity import rms_cosine as rms_cosine
from keras_initkit.symmetry.similarity import unit_similarity as unit_similarity
