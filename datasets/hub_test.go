package datasets

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Cards as huggingface_hub 2 and datasets 5 write them.
const (
	cardOne = `---
license: mit
dataset_info:
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '0': ant
          '1': 'yes'
          '2': 3.50
  splits:
  - name: train
    num_examples: 12
---
# About
`
	cardTwo = `---
dataset_info:
- config_name: a
  features: [{name: label, dtype: {class_label: {names: {'1': bee, '0': ant, '2': cow}}}}]
- config_name: b
  features: [{name: label, dtype: {class_label: {names: [ant, bee, cow]}}}]
---
`
	infos = `{"default": {"features": {"img": {"_type": "Image"}, "label": {"num_classes": 3, "names": ["u", "v", "w"], "id": null, "_type": "ClassLabel"}}}}`
)

// TestHubClasses: class names by the files of a data set of the hub, beside the
// shards or a folder up.
func TestHubClasses(t *testing.T) {
	ownCache(t)
	for name, c := range map[string]struct {
		files map[string]string
		want  string
		note  string
	}{
		"nothing":      {nil, "0 1 2", ""},
		"card":         {map[string]string{"README.md": cardOne}, "ant yes 3.50", "README.md"},
		"infos first":  {map[string]string{"README.md": cardOne, "dataset_infos.json": infos}, "u v w", "dataset_infos.json"},
		"beside first": {map[string]string{"README.md": cardOne, "data/README.md": cardTwo}, "ant bee cow", "data/README.md"},
		"two that agree, one more name than labels": {map[string]string{"README.md": strings.ReplaceAll(strings.Replace(cardTwo, "'2': cow", "'2': cow, '3': d", 1), "bee, cow", "bee, cow, d")}, "ant bee cow d", "README.md"},
		"they differ":   {map[string]string{"README.md": strings.Replace(cardTwo, "[ant, bee", "[bee, ant", 1)}, "0 1 2", "differently"},
		"a gap":         {map[string]string{"README.md": strings.Replace(cardOne, "'2'", "'3'", 1)}, "0 1 2", `class "3": want each number`},
		"no YAML":       {map[string]string{"README.md": "---\n\t- : [\n---\n"}, "0 1 2", "left out"},
		"no JSON":       {map[string]string{"dataset_infos.json": "{"}, "0 1 2", "left out"},
		"other columns": {map[string]string{"README.md": strings.Replace(cardOne, "name: label", "name: other", 1)}, "0 1 2", ""},
		"plain text":    {map[string]string{"README.md": "# About"}, "0 1 2", ""},
		"odd card":      {map[string]string{"README.md": "---\ndataset_info: 3\n---\n"}, "0 1 2", ""},
		"odd features":  {map[string]string{"README.md": "---\ndataset_info: {features: [1, {name: label}, {name: label, dtype: {class_label: 3}}]}\n---\n"}, "0 1 2", ""},
		"odd infos":     {map[string]string{"dataset_infos.json": `{"a": {"features": {"label": 3}}}`}, "0 1 2", ""},
		"empty name":    {map[string]string{"dataset_infos.json": strings.Replace(infos, `"v"`, `""`, 1)}, "0 1 2", "the name of class 1 is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "data"), 0o755); err != nil {
				t.Fatal(err)
			}
			copyFile(t, "testdata/unnamed.parquet", filepath.Join(dir, "data", "train.parquet"))
			for name, text := range c.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			d := open(t, "parquet:"+filepath.Join(dir, "data")+",val=0.4")
			notes := strings.Join(d.Notes, "\n")
			if got := strings.Join(d.ClassNames, " "); got != c.want || !strings.Contains(notes, c.note) || c.note == "" && strings.Contains(notes, "class") && strings.Contains(notes, ".md") {
				t.Errorf("classes %q, notes %q", got, notes)
			}
		})
	}
}
