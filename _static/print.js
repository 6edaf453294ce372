// Paper is light whatever the screen, and what is folded there can't be opened on it.
(() => {
  const page = document.documentElement;
  let theme = null;
  addEventListener("beforeprint", () => {
    theme ??= page.dataset.theme;
    page.dataset.theme = "light";
  });
  addEventListener("afterprint", () => {
    page.dataset.theme = theme;
    theme = null;
  });
})();
