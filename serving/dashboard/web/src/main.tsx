import { render } from "preact";
import { App } from "./app";
import { applyTheme, savedTheme } from "./theme";
import "./colours.css";
import "./page.css";

applyTheme(savedTheme());
const root = document.getElementById("app");
if (root) render(<App />, root);
