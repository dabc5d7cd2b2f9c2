// Package report writes pages that a person reads: the report of a run and the
// gallery of suspect labels.
//
// It owns their layout, the charts in them and the pictures' encoding. A page is
// one file that opens anywhere without a network: its Content-Security-Policy
// allows no address, styles and pictures are inside, charts are SVG that prints.
// zoom.js, the only script that the policy allows (by its hash), draws a part of a
// chart where the reader picks one; without script the page shows all it has. It
// follows the reader's light or dark scheme. Texts come from models and files:
// html/template escapes them, and the numbers for the script, which are JSON.
package report
