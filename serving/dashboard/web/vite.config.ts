import { defineConfig } from "vite";

// No file is inlined: the Content-Security-Policy of the page allows files of this server only.
export default defineConfig({
  build: {
    outDir: "../dist/page",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: false,
    // The licences of what the page holds ask to be passed on with it. They are at /assets/licenses.txt.
    license: { fileName: "assets/licenses.txt" },
    target: "es2022",
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8080", "/metrics": "http://127.0.0.1:8080" } },
});
