// The theme is that of the system until a reader chooses one, which this browser remembers.
export type Theme = "system" | "light" | "dark";

const storageKey = "recount.theme";

export function savedTheme(): Theme {
  const saved = localStorage.getItem(storageKey);
  return saved === "light" || saved === "dark" ? saved : "system";
}

/** applyTheme sets what colours.css selects by, and tells charts to draw again. */
export function applyTheme(theme: Theme): void {
  if (theme === "system") {
    localStorage.removeItem(storageKey);
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem(storageKey, theme);
    document.documentElement.dataset.theme = theme;
  }
  window.dispatchEvent(new Event("themechange"));
}
