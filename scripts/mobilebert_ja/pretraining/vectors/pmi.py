"""Word vectors from the company that tokens keep: a factorized matrix of pointwise mutual information.

Levy and Goldberg showed that word2vec factorizes this matrix implicitly ("Neural Word Embedding as Implicit Matrix
Factorization", 2014); counting does it in seconds per hundred million tokens, with no training and no randomness but
that of the factorization. The window, its weights and the smoothed context are those of "Improving Distributional
Similarity with Lessons Learned from Word Embeddings" (TACL 3, 2015). Needs scipy and scikit-learn; training does not.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.pretraining.shards import Shards, source_weights

CONTEXT_SMOOTHING = 0.75  # the power that makes rare contexts less surprising, as in word2vec's negative samples
SVD_ITERATIONS = 4


def cooccurrence_counts(shards: Shards, window: int, mixture: str = "") -> tuple[sparse.csr_matrix, np.ndarray]:
    """How often tokens stand near each other, and how often each stands anywhere.

    Args:
        window: tokens on either side, within the sentence; a neighbour `d` tokens away counts 1 / d.
        mixture: weights of sources, as in pretraining ('aozora=0.3').

    Returns:
        A symmetric matrix [V, V], float32, and the weighted frequencies [V], float64.
    """
    size = shards.index["vocab_size"]
    weights = source_weights(shards, mixture)
    total = sparse.csr_matrix((size, size), dtype=np.float32)
    frequencies = np.zeros(size)
    sources = progress_bar(shards.sources, desc="counting neighbours", unit="source")
    for source, weight in zip(sources, weights, strict=True):
        tokens = np.asarray(source.tokens, np.int64)
        frequencies += weight * np.bincount(tokens, minlength=size)
        sentence = np.zeros(len(tokens) + 1, np.int64)
        sentence[source.sentences] = 1
        sentence = sentence[:-1].cumsum()
        for distance in range(1, min(window, len(tokens) - 1) + 1):
            near = sentence[distance:] == sentence[:-distance]
            pairs = tokens[:-distance][near], tokens[distance:][near]
            counts = np.full(len(pairs[0]), weight / distance, np.float32)
            total = total + sparse.coo_matrix((counts, pairs), shape=(size, size)).tocsr()
    return (total + total.T).tocsr(), frequencies


def positive_mutual_information(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """max(0, log(p(a, b) / (p(a) p'(b)))), where p' is the smoothed distribution of contexts. Same shape, sparser."""
    if not counts.nnz:
        return counts
    pairs = counts.tocoo()
    of_token = np.asarray(counts.sum(axis=1), np.float64).ravel()
    context = of_token**CONTEXT_SMOOTHING
    context /= context.sum()
    information = np.log(pairs.data / (of_token[pairs.row] * context[pairs.col]))
    above = information > 0
    return sparse.csr_matrix(
        (information[above].astype(np.float32), (pairs.row[above], pairs.col[above])), shape=counts.shape
    )


def word_vectors(counts: sparse.csr_matrix, dimensions: int, seed: int) -> np.ndarray:
    """Vectors [V, dimensions], float32: left singular vectors times the root of the singular values.

    A token without neighbours has the zero vector. Raises `UserError` if there are fewer tokens than dimensions.
    """
    if dimensions > min(counts.shape):
        raise UserError(f"--embedding_size {dimensions} is more than the vocabulary's {counts.shape[0]} entries.")
    information = positive_mutual_information(counts)
    if not information.nnz:
        raise UserError(
            "No two tokens of the corpus stand together more often than by chance: there is too little of it."
        )
    left, values, _ = randomized_svd(information, n_components=dimensions, n_iter=SVD_ITERATIONS, random_state=seed)
    vectors = (left * np.sqrt(values)).astype(np.float32)
    vectors[np.diff(information.indptr) == 0] = 0  # not the factorization's rounding errors
    return vectors


def nearest(vectors: np.ndarray, index: int, count: int) -> list[int]:
    """The tokens whose vectors point most nearly the same way as that of token `index`, nearest first."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    order = np.argsort(-(unit @ unit[index]), kind="stable")
    return [int(other) for other in order if other != index][:count]
