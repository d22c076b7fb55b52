// The lint rules of the pages' JavaScript. TypeScript checks the types, which it reads from the JSDoc.

import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2023, sourceType: "module", globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      curly: "error",
      eqeqeq: "error",
      "no-console": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-param-reassign": "off",
      "no-restricted-properties": [
        "error",
        {
          property: "innerHTML",
          message: "What people wrote is never read as HTML: use make() and textContent.",
        },
        {
          property: "outerHTML",
          message: "What people wrote is never read as HTML: use make() and textContent.",
        },
        { property: "insertAdjacentHTML", message: "What people wrote is never read as HTML: use make()." },
      ],
      "no-restricted-syntax": [
        "error",
        {
          selector: "CallExpression[callee.name='fetch']:not([arguments.0.callee.name='addressOf'])",
          message: "The server may be below a path of its host: use addressOf().",
        },
        {
          selector: "NewExpression[callee.name='WebSocket']:not([arguments.0.callee.name='socketAddressOf'])",
          message: "The server may be below a path of its host: use socketAddressOf().",
        },
      ],
      "no-shadow": "off",
      "no-unused-vars": ["error", { argsIgnorePattern: "^_", caughtErrors: "none" }],
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
    },
  },
  {
    // The two parts of /widget.js, a classic script that runs in pages of other sites.
    files: ["**/widget/launcher.js", "**/widget/loader.js"],
    languageOptions: { sourceType: "script" },
    rules: {
      "no-console": ["error", { allow: ["info"] }], // messages for the developers of those pages
      "no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^Launcher$" }],
    },
  },
  {
    files: ["**/widget/loader.js"],
    languageOptions: { globals: { Launcher: "readonly", element: "readonly" } },
  },
];
