// Package yamlfile reads what a user wrote in YAML, or in JSON, which is a part
// of it.
//
// It owns the bounds of such a file: its size, its depth, one document, no
// aliases, so that a small file stays small, and no key twice. What the keys mean
// is its callers'.
package yamlfile

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// Bounds of a file.
const (
	MaxSize  = 1 << 20 // bytes
	MaxDepth = 16      // lists and mappings within each other
)

// ErrBad marks a file that is not YAML, or not within the bounds.
var ErrBad = errors.New("bad YAML file")

// Pair is a key of a mapping with its value.
type Pair struct {
	Key   string
	Line  int // of the key, from 1
	Value Value
}

// Value is a scalar, a list or a mapping of a file.
type Value struct{ node *yaml.Node }

// Kinds of values.
const (
	Nothing = "nothing"
	Bool    = "true or false"
	Int     = "a whole number"
	Float   = "a number"
	Text    = "a text"
	List    = "a list"
	Mapping = "a mapping"
)

// Parse reads a text whose whole is one mapping, and gives its pairs in order. An
// empty one has none.
func Parse(text []byte) ([]Pair, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrBad, len(text), MaxSize)
	}
	if err := shallow(text); err != nil {
		return nil, err
	}
	var doc yaml.Node
	in := yaml.NewDecoder(strings.NewReader(string(text)))
	if err := decode(in, &doc); err != nil {
		return nil, err
	}
	if doc.Kind == 0 {
		return nil, nil
	}
	var second yaml.Node
	if err := decode(in, &second); err != nil {
		return nil, err
	} else if second.Kind != 0 {
		return nil, fmt.Errorf("%w: line %d: a second document; one is read", ErrBad, second.Line)
	}
	root := doc.Content[0]
	if err := check(root, 1); err != nil {
		return nil, err
	}
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" { // comments alone
		return nil, nil
	}
	return Value{root}.Pairs()
}

// decode reads a document; the node stays empty at the end of the text.
func decode(in *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() { // the parser's own errors come as panics, and so do its faults
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %.200v", ErrBad, r)
		}
	}()
	if err := in.Decode(n); err != nil && err.Error() != "EOF" {
		return fmt.Errorf("%w: %s", ErrBad, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return nil
}

// shallow refuses a text that is nested too deep before it is parsed: a parser
// keeps what is open, so depth costs it most.
func shallow(text []byte) error {
	depth, line := 0, 1
	for _, c := range text {
		switch c {
		case '\n':
			line++
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(depth-1, 0)
		}
		if depth > maxBrackets {
			return fmt.Errorf("%w: line %d: too many open brackets", ErrBad, line)
		}
	}
	return nil
}

// maxBrackets is well over MaxDepth: brackets in texts count here too.
const maxBrackets = 1 << 10

// check refuses what has no place in a file of settings.
func check(n *yaml.Node, depth int) error {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return fmt.Errorf("%w: line %d: anchors and aliases are not read; write the value again", ErrBad, n.Line)
	case depth > MaxDepth:
		return fmt.Errorf("%w: line %d: lists and mappings more than %d deep", ErrBad, n.Line, MaxDepth)
	}
	for _, c := range n.Content {
		if err := check(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// Pairs are the keys of a mapping with their values, in order.
func (v Value) Pairs() ([]Pair, error) {
	n := v.node
	if n.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%w: line %d: %s, want keys with values, KEY: VALUE", ErrBad, n.Line, v.Kind())
	}
	var pairs []Pair
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("%w: line %d: %s for a key", ErrBad, key.Line, Value{key}.Kind())
		}
		if first, twice := seen[key.Value]; twice {
			return nil, fmt.Errorf("%w: line %d: %.40q again, which is on line %d", ErrBad, key.Line, key.Value, first)
		}
		seen[key.Value] = key.Line
		pairs = append(pairs, Pair{key.Value, key.Line, Value{n.Content[i+1]}})
	}
	return pairs, nil
}

// Kind says what a value is.
func (v Value) Kind() string {
	switch v.node.Kind {
	case yaml.MappingNode:
		return Mapping
	case yaml.SequenceNode:
		return List
	}
	switch v.node.ShortTag() {
	case "!!null":
		return Nothing
	case "!!bool":
		return Bool
	case "!!int":
		return Int
	case "!!float":
		return Float
	}
	return Text
}

// Line is where a value begins, from 1.
func (v Value) Line() int { return v.node.Line }

// Text is a scalar as it is written, without quotes.
func (v Value) Text() string { return v.node.Value }

// Items are the values of a list.
func (v Value) Items() []Value {
	var items []Value
	for _, n := range v.node.Content {
		items = append(items, Value{n})
	}
	return items
}

// Line writes a pair as a line that Parse reads.
func Line(key string, value any) (string, error) {
	if text, ok := value.(string); ok { // on one line, whatever is in it
		value = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Style: quoting(text)}
	}
	line, err := yaml.Marshal(map[string]any{key: value})
	return string(line), err
}

// quoting is the style of a text that keeps it on a line.
func quoting(text string) yaml.Style {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return yaml.DoubleQuotedStyle
	}
	return 0
}
