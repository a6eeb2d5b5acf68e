"""The OpenAPI document: types of each protocol in the words of a model, the operations, and the whole."""
