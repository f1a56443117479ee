"""The inspection engine: everything that can be asked of a network, without a widget.

Words
-----
layer
    One call of one module that returned a tensor; addressed by the module's dotted name.
unit
    A channel of a layer, or one neuron of it.
objective
    A score per image; higher is better.
parameterization, regularizer, stepper, recipe
    How an image that maximises an objective is found.
frame
    What an ascent has come to after a step.
image
    Floats (B, C, H, W) in display range, [0, 1]; only the network normalises.
"""
