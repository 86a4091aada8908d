import { render } from "preact";
import { App } from "./app";
import { takeKey } from "./key";
import { applyTheme, savedTheme } from "./theme";
import "./colours.css";
import "./page.css";

applyTheme(savedTheme());
takeKey();
addEventListener("hashchange", takeKey);
const root = document.getElementById("app");
if (root) render(<App />, root);
