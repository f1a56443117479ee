/** What is drawn over a poster: rings around the tile under the pointer and the selected one, and a rectangle to zoom into. */

const RING_WIDTH = 3;

class PosterSigns {
  /** @param {PosterSurface} surface */
  constructor(surface) {
    this.surface = surface;
    [this.selected, this.hovered] = [-1, -1];
  }

  /** @param {CanvasRenderingContext2D} context */
  draw(context) {
    const { colors, outline } = this.surface;
    if (this.hovered !== this.selected) this.drawRing(context, this.hovered, colors.ink, RING_WIDTH - 1);
    this.drawRing(context, this.selected, colors.accent, RING_WIDTH);
    if (outline) this.drawOutline(context, outline);
  }

  /** @param {CanvasRenderingContext2D} context @param {number} index @param {string} color @param {number} width CSS pixels */
  drawRing(context, index, color, width) {
    const { ratio, colors, shared } = this.surface;
    if (index < 0 || index >= shared.data.count) return;
    const [x, y, w, h] = this.surface.boxOnScreen(index);
    const out = 1.5 * ratio;
    for (const [style, line] of [[colors.paper, width + 3], [color, width]]) {
      context.strokeStyle = style;
      context.lineWidth = line * ratio;
      context.strokeRect(x - out, y - out, w + 2 * out, h + 2 * out);
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {number[]} outline x, y, x, y, ... */
  drawOutline(context, outline) {
    context.beginPath();
    for (let i = 0; i < outline.length; i += 2) context.lineTo(outline[i], outline[i + 1]);
    context.closePath();
    context.fillStyle = context.strokeStyle = this.surface.colors.accent;
    context.globalAlpha = 0.15;
    context.fill();
    context.globalAlpha = 1;
    context.lineWidth = 2 * this.surface.ratio;
    context.stroke();
  }
}
