// Package option describes what a user may set of something that has kinds, a
// row for each option, so that flags, defaults, checks, records and tables in
// the documentation come from one place.
//
// It knows float64, int, string, bool and []float64 fields of a struct, and
// nothing of command lines.
package option

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
)

// Kind is one of several things to choose from, as help lists it.
type Kind struct{ Name, Doc string }

// Row is one option, a field of T.
type Row[T any] struct {
	Name    string       // as a flag has it
	Doc     string       // one line; `X` names the value
	Source  string       // where the default is from
	Default any          // float64, int, string, bool or []float64
	Shown   string       // the default as help says it; "" is Default itself
	OneOf   []string     // the words that a string may be; nil takes any
	Field   func(*T) any // pointer to the field, of Default's type

	Lo, Hi      float64 // range of a number
	Open        string  // which ends are not in the range: "", "lo", "hi", "both"
	ZeroIsZero  bool    // a field of 0 means 0, not the default
	BelowIsNone bool    // a field below 0 means 0, since 0 means the default
}

// Get is the option's value, of Default's type.
func (r *Row[T]) Get(o *T) any {
	switch v := r.Field(o).(type) {
	case *float64:
		return *v
	case *int:
		return *v
	case *string:
		return *v
	case *bool:
		return *v
	case *[]float64:
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
	case *bool:
		*v = value.(bool)
	case *[]float64:
		*v = slices.Clone(value.([]float64))
	}
}

// IsSet is whether a field is other than empty.
func (r *Row[T]) IsSet(o *T) bool { return !reflect.ValueOf(r.Field(o)).Elem().IsZero() }

// Clear empties the field.
func (r *Row[T]) Clear(o *T) { reflect.ValueOf(r.Field(o)).Elem().SetZero() }

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
	case *[]float64:
		if *v == nil {
			*v = slices.Clone(r.Default.([]float64))
		}
	}
}

// Wants says what a value of Default's type should be, "" where it is that.
func (r *Row[T]) Wants(value any) string {
	switch v := value.(type) {
	case string:
		if r.OneOf != nil && !slices.Contains(r.OneOf, v) {
			return "one of " + strings.Join(r.OneOf, ", ")
		}
	case int:
		return r.wantsNumber(float64(v))
	case float64:
		return r.wantsNumber(v)
	case []float64:
		if n := len(r.Default.([]float64)); n > 0 && len(v) != n {
			return fmt.Sprintf("%d numbers", n)
		}
		for _, number := range v {
			if want := r.wantsNumber(number); want != "" {
				return "each " + want
			}
		}
	}
	return ""
}

func (r *Row[T]) wantsNumber(v float64) string {
	loOpen, hiOpen := r.Open == "lo" || r.Open == "both", r.Open == "hi" || r.Open == "both"
	// The negated comparison refuses NaN too.
	if !(v >= r.Lo && v <= r.Hi) || loOpen && v == r.Lo || hiOpen && v == r.Hi {
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
	case r.Hi == math.MaxFloat32 && loOpen:
		return text
	case r.Hi == math.MaxFloat32:
		return text + " or more"
	case hiOpen && !loOpen:
		return fmt.Sprintf("%s to below %v", text, r.Hi)
	case hiOpen:
		return fmt.Sprintf("%s and below %v", text, r.Hi)
	case loOpen:
		return fmt.Sprintf("%s and up to %v", text, r.Hi)
	}
	return fmt.Sprintf("%s to %v", text, r.Hi)
}
