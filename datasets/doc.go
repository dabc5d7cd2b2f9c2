// Package datasets owns the formats that images come in and the registry of
// named data sets: what each is, where it lives, how it is fetched and checked,
// and the generated default "glyphs".
//
// A format is one file and one row of the table in registry.go, from which the
// specs of the command line, lists and help come; it gives loader.Records and
// nothing more. The package owns the data folder, the specs, artificial label
// noise and subsets. It refuses fetched files whose SHA-256 is not the pinned
// one, and files whose size, dimensions or labels contradict their header.
//
// Terms. A spec is KIND, or KIND: and settings split by commas, KEY=VALUE or a
// path, or a path alone, whose kind its content tells. The data folder holds one
// folder for each fetched data set; it is Options.Dir, else $WINNOW_DATA, else
// winnow/data in the user's cache folder.
package datasets
