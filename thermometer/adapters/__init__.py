"""Other programs: Ray Data and vLLM. Nothing of the package imports this folder.

Each module can be imported without the program that it is for.
"""
