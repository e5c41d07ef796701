"""The built-in classifier, whose body all other eyes of the house begin with."""
