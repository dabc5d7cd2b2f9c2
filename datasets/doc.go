// Package datasets is the registry of named data sets: what each is, where it
// lives, how it is fetched and checked, and the generated default "glyphs".
//
// It owns the data folder, the specs of the command line (NAME or
// NAME:SETTINGS), artificial label noise and subsets. It refuses fetched files
// whose SHA-256 is not the pinned one. Reading files is package loader's work.
//
// Terms. A spec is a name, then optionally a colon and settings split by
// commas: KEY=VALUE, or a path. The data folder holds one folder for each
// fetched data set; it is Options.Dir, else $WINNOW_DATA, else winnow/data in
// the user's cache folder.
package datasets
