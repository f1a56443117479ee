/** Saves what Python offers; see download.py for the message. */

/** The browser reads a saved file after the click; an address given up too early loses it. */
const KEPT_MS = 60_000;

/** @param {string} name @param {Uint8Array} bytes @param {string} mime */
function save(name, bytes, mime) {
  const address = URL.createObjectURL(new Blob([bytes], { type: mime }));
  const link = element("a", "", { href: address, download: name, hidden: "" });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), KEPT_MS);
}

export default () => {
  let displayed = 0;
  return {
    /** @param {{model: Model}} context */
    initialize({ model }) {
      const receive = (message, buffers) => {
        if (message.type === "file" && displayed > 0) save(message.name, bytesOf(buffers[0]), message.mime);
      };
      model.on("msg:custom", receive);
      return () => model.off("msg:custom", receive);
    },
    /** @param {{el: HTMLElement}} context */
    render({ el }) {
      el.style.display = "none";
      displayed += 1;
      return () => {
        displayed -= 1;
      };
    },
  };
};
