"""``method(network, image, unit) -> Attribution``: which places of an image make a unit respond, such as a class's.

=============  =====================================  ==========================  =========================================
method         what it tells of a place               grain                       costs
=============  =====================================  ==========================  =========================================
`saliency`     how fast the score changes with it     a pixel                     one pass and its gradient
`smooth_grad`  the same, averaged over noisy images   a pixel, with less speckle  as many of these as samples
`grad_cam`     how much a layer's maps raise the      a place of the layer        one pass, and its gradient to the layer
               score there
`occlusion`    what the score loses when it is        a window                    a pass per window, no gradient
               hidden
=============  =====================================  ==========================  =========================================

None of them proves why: each answers its own question. Where they agree, one may begin to believe them.
"""

from .base import Attribution
from .drawing import overlay
from .gradients import cam_layer, grad_cam, saliency, smooth_grad, smoothing
from .occlusion import occluding, occlusion

__all__ = [
    "Attribution",
    "cam_layer",
    "grad_cam",
    "occluding",
    "occlusion",
    "overlay",
    "saliency",
    "smooth_grad",
    "smoothing",
]
