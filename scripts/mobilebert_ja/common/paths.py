"""Names of files that several rooms know."""

WEIGHTS_NAME = "pytorch_model.bin"  # of the released checkpoint
WORD_EMBEDDINGS_NAME = "word_embeddings.npy"  # in a folder of embed_words.py
TAG_INDEX_NAME = "tags.json"  # in a folder of tag_corpus.py
