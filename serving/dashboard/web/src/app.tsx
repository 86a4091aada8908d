// The frame of the page: the bar with the tabs, and the tab that the URL names.
import { useEffect, useState } from "preact/hooks";
import { savedKey, saveKey } from "./api";
import icon from "./icon.svg";
import { KeyPage } from "./key";
import { useRoute } from "./route";
import { tabs } from "./tabs";
import { applyTheme, savedTheme, type Theme } from "./theme";

export function App() {
  const route = useRoute();
  const [refused, setRefused] = useState(false);
  const [key, setKey] = useState(savedKey());
  useEffect(() => {
    const onRefused = () => setRefused(true);
    const onChange = () => {
      setKey(savedKey());
      if (savedKey()) setRefused(false);
    };
    window.addEventListener("keyrefused", onRefused);
    window.addEventListener("keychange", onChange);
    return () => {
      window.removeEventListener("keyrefused", onRefused);
      window.removeEventListener("keychange", onChange);
    };
  }, []);
  const tab = tabs.find((t) => t.name === route.tab) ?? tabs[0];
  useEffect(() => {
    document.title = tab ? `${tab.title} · recount` : "recount";
  }, [tab]);
  if (!tab) return null;
  return (
    <>
      {/* biome-ignore lint/a11y/useValidAnchor: it is a link, whose address would replace the state of the page. */}
      <a class="skip" href="#main" onClick={toContent}>
        Skip to the content
      </a>
      <header class="bar">
        <a class="brand" href="/">
          <img src={icon} alt="" width="20" height="20" />
          recount
        </a>
        <nav aria-label="Tabs">
          {tabs.map((t) => (
            <a key={t.name} href={`#${t.name}`} aria-current={t === tab ? "page" : undefined}>
              {t.title}
            </a>
          ))}
        </nav>
        <div class="bar-tools">
          <ThemeSwitch />
          {(key || refused) && (
            <button
              type="button"
              class="icon"
              onClick={() => {
                saveKey("");
                setRefused(true);
              }}
            >
              Key
            </button>
          )}
        </div>
      </header>
      {refused ? <KeyPage /> : <tab.View key={`${tab.name} ${key}`} />}
    </>
  );
}

/** toContent moves the focus, because the address after # is the state of the page and no anchor. */
function toContent(e: Event) {
  e.preventDefault();
  document.getElementById("main")?.focus();
}

const themes: Record<Theme, { next: Theme; sign: string }> = {
  system: { next: "light", sign: "◐" },
  light: { next: "dark", sign: "☀" },
  dark: { next: "system", sign: "☾" },
};

function ThemeSwitch() {
  const [theme, setTheme] = useState(savedTheme());
  const { next, sign } = themes[theme];
  const choose = () => {
    applyTheme(next);
    setTheme(next);
  };
  return (
    <button type="button" class="icon" aria-label={`Theme: ${theme}. Change to ${next}`} onClick={choose}>
      {sign}
    </button>
  );
}
