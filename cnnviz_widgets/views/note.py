"""A short text in a panel: what is going on, what went wrong, or code to copy.

::

    Note.show(text, kind) -> the text as it is, never markup; nothing at all for an empty text
"""

import traitlets

from cnnviz_widgets.views._base import View, joined

KINDS = ("info", "error", "code")


class Note(View):
    """Text under the controls of a panel, announced by screen readers; unlike a caption it comes and goes.

    A note inside an element of class ``cnnviz-panel`` also marks that element so that JupyterLab and Notebook 7
    leave the arrow keys to the controls in it, for as long as the element lives.

    Attributes
    ----------
    text : str
        Line breaks are kept; an empty text takes no room.
    kind : str
        ``"info"``, read out when there is a pause; ``"error"``, read out at once and marked; ``"code"``, monospaced
        with a button that copies it.

    Examples
    --------
    >>> from cnnviz_widgets.views import Note
    >>> note = Note()
    >>> note.show("no layer 'layer5'; did you mean 'layer4'?", kind="error")
    >>> note.kind
    'error'
    """

    _esm = joined("_shared.js", "note.js")
    _css = joined("_shared.css", "note.css", "panel.css")

    text = traitlets.Unicode().tag(sync=True)
    kind = traitlets.Enum(KINDS, default_value="info").tag(sync=True)

    def show(self, text: str, kind: str = "info") -> None:
        """Show another text in one update; an empty one clears the note.

        Raises
        ------
        traitlets.TraitError
            If `kind` is none of the three.
        """
        self.assign(text=text, kind=kind)
