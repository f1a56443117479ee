/** What is shown beside the pointer: a tile's picture, large, and what is told of it. */

const POSTER_TIP_SIDE = 264;
const POSTER_TIP_GAP = 12;
const POSTER_TIP_AFTER = 70;

class PosterTip {
  /** @param {{data: PosterData, pictures: PosterPictures}} shared @param {PosterSurface} surface */
  constructor(shared, surface) {
    this.shared = shared;
    this.surface = surface;
    this.index = -1;
    this.timer = 0;
    this.drawn = "";
    this.canvas = element("canvas");
    this.name = element("div", "cnnviz-poster-tip-name");
    this.lines = element("div", "cnnviz-poster-tip-lines");
    this.root = element("div", "cnnviz-poster-tip", { "aria-hidden": "true", hidden: "" }, this.canvas, this.name, this.lines);
    surface.viewport.append(this.root);
  }

  /** @param {number} index -1 for none */
  show(index) {
    if (index === this.index) return;
    clearTimeout(this.timer);
    this.index = index;
    this.root.hidden = index < 0;
    if (index < 0) return;
    this.root.dataset.tile = String(index);
    this.name.textContent = this.shared.data.name(index);
    this.drawn = "";
    this.refresh();
    this.timer = setTimeout(() => this.hurry(), POSTER_TIP_AFTER);
  }

  /** Level of the picture that it shows. */
  get level() {
    return this.shared.pictures.levelFor(POSTER_TIP_SIDE * this.surface.ratio);
  }

  hurry() {
    if (this.index >= 0) this.shared.pictures.hurry(this.index, this.level);
  }

  /** Show what there is by now. */
  refresh() {
    const { index, shared } = this;
    if (index < 0) return;
    const { pictures, data } = shared;
    const picture = pictures.best(index, this.level);
    const told = pictures.lines.get(index) || [];
    const band = data.bands[data.bandOf[index]];
    const lines = [band.title, ...told, ...(picture || pictures.revisions[index] ? [] : ["no picture yet"])];
    if (this.lines.textContent !== lines.join("")) this.lines.replaceChildren(...lines.map((line) => element("div", "", {}, line)));
    const state = picture ? `${index} ${picture.level} ${picture.revision} ${picture.shared}` : "";
    if (state !== this.drawn || !state) this.draw(picture);
    this.drawn = state;
    this.place();
  }

  /** @param {PosterPicture | null} picture */
  draw(picture) {
    const { canvas, surface } = this;
    canvas.hidden = !picture;
    if (!picture) return;
    const side = POSTER_TIP_SIDE * surface.ratio;
    const scale = side / Math.max(picture.width, picture.height);
    [canvas.width, canvas.height] = [Math.max(1, Math.round(picture.width * scale)), Math.max(1, Math.round(picture.height * scale))];
    paintPicture(canvas.getContext("2d"), picture, [0, 0, canvas.width, canvas.height], false);
  }

  /** Beside the tile, on the side where there is room; a tile that is large already is only told of. */
  place() {
    const { surface, root, index } = this;
    if (index < 0) return;
    const { ratio, viewport } = surface;
    const [x, y, width, height] = surface.boxOnScreen(index).map((value) => value / ratio);
    root.hidden = Math.max(width, height) >= 0.9 * POSTER_TIP_SIDE && width > 0.25 * viewport.clientWidth;
    if (root.hidden) return;
    const [wide, tall] = [root.offsetWidth, root.offsetHeight];
    const right = x + width + POSTER_TIP_GAP;
    const fits = right + wide <= viewport.clientWidth || x + width / 2 < viewport.clientWidth / 2;
    const left = fits ? Math.min(right, viewport.clientWidth - wide - 4) : Math.max(4, x - POSTER_TIP_GAP - wide);
    const top = Math.min(Math.max(4, y + height / 2 - tall / 2), Math.max(4, viewport.clientHeight - tall - 4));
    root.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }

  close() {
    clearTimeout(this.timer);
  }
}
