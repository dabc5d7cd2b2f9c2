package datasets

import (
	"winnow/internal/option"
	"winnow/loader"
	"winnow/loader/raster"
)

// viewOptions are the settings of formats that hold files of images.
type viewOptions struct{ exif, background string }

var viewRows = []option.Row[viewOptions]{
	{Name: "exif", Doc: "turn images as EXIF's orientation says", Default: "off", OneOf: []string{"off", "on"},
		Field: func(o *viewOptions) any { return &o.exif }},
	{Name: "background", Doc: "what transparency becomes: dropped, or laid over white", Default: "drop", OneOf: []string{"drop", "white"},
		Field: func(o *viewOptions) any { return &o.background }},
}

// view is what the spec says of how files are seen; formats that hold none have
// refused its settings.
func (s *spec) view() (v raster.View, err error) {
	var o viewOptions
	if err := fill(s, viewRows, &o); err != nil {
		return v, err
	}
	return raster.View{Upright: o.exif == "on", White: o.background == "white"}, nil
}

// see lets both splits be seen so.
func (d *Dataset) see(v raster.View) {
	if v == (raster.View{}) {
		return
	}
	d.View = v
	d.Train, d.Test = &viewed{wrapper{d.Train}, v}, &viewed{wrapper{d.Test}, v}
}

// viewed are records whose files are seen in a way of their own.
type viewed struct {
	wrapper
	view raster.View
}

var _ loader.Records = (*viewed)(nil)

// Read reads a sample and says how it is seen.
func (s *viewed) Read(i uint32, r *loader.Record) error {
	err := s.Records.Read(i, r)
	r.View = s.view
	return err
}
