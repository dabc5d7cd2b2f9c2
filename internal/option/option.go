// Package option describes what a user may set of something that has kinds, a
// row for each option, so that flags, defaults, checks, records and tables in
// the documentation come from one place.
//
// It knows float64, int and string fields of a struct, and nothing of command
// lines.
package option

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Row is one option, a field of T.
type Row[T any] struct {
	Name    string       // as a flag has it
	Doc     string       // one line; `X` names the value
	Source  string       // where the default is from
	Default any          // float64, int or string
	OneOf   []string     // the words that a string may be; nil takes any
	Field   func(*T) any // pointer to the field, of Default's type

	Lo, Hi      float64 // range of a number
	Open        string  // which ends are not in the range: "", "lo", "hi", "both"
	ZeroIsZero  bool    // a field of 0 means 0, not the default
	BelowIsNone bool    // a field below 0 means 0, since 0 means the default
}

// Get is the option's value: a float64, an int or a string.
func (r *Row[T]) Get(o *T) any {
	switch v := r.Field(o).(type) {
	case *float64:
		return *v
	case *int:
		return *v
	case *string:
		return *v
	}
	panic("option: a field of a type without a case")
}

// Set gives the option a value of Default's type as a user means it, 0
// included; Wants says beforehand whether it can be taken.
func (r *Row[T]) Set(o *T, value any) {
	switch v := r.Field(o).(type) {
	case *float64:
		*v = value.(float64)
		if *v == 0 && r.BelowIsNone {
			*v = -1
		}
	case *int:
		*v = value.(int)
	case *string:
		*v = value.(string)
	}
}

// Resolve puts the default in place of an empty field.
func (r *Row[T]) Resolve(o *T) {
	switch v := r.Field(o).(type) {
	case *float64:
		if *v == 0 && !r.ZeroIsZero {
			*v = r.Default.(float64)
		}
		if r.BelowIsNone {
			*v = max(*v, 0)
		}
	case *int:
		if *v == 0 {
			*v = r.Default.(int)
		}
	case *string:
		if *v == "" {
			*v = r.Default.(string)
		}
	}
}

// Wants says what a value of Default's type should be, "" where it is that.
func (r *Row[T]) Wants(value any) string {
	var number float64
	switch v := value.(type) {
	case string:
		if r.OneOf == nil || slices.Contains(r.OneOf, v) {
			return ""
		}
		return "one of " + strings.Join(r.OneOf, ", ")
	case int:
		number = float64(v)
	case float64:
		number = v
	}
	loOpen, hiOpen := r.Open == "lo" || r.Open == "both", r.Open == "hi" || r.Open == "both"
	// The negated comparison refuses NaN too.
	if !(number >= r.Lo && number <= r.Hi) || loOpen && number == r.Lo || hiOpen && number == r.Hi {
		return r.rangeText(loOpen, hiOpen)
	}
	return ""
}

func (r *Row[T]) rangeText(loOpen, hiOpen bool) string {
	text := fmt.Sprint(r.Lo)
	if loOpen {
		text = "above " + text
	}
	switch {
	case r.Hi == math.MaxFloat32:
		return text + " or more"
	case hiOpen:
		return fmt.Sprintf("%s and below %v", text, r.Hi)
	case loOpen:
		return fmt.Sprintf("%s and up to %v", text, r.Hi)
	}
	return fmt.Sprintf("%s to %v", text, r.Hi)
}
