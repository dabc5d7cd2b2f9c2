package datasets

import "errors"

var (
	// ErrSpec marks a spec that is malformed or names no known data set.
	ErrSpec = errors.New("bad data spec")
	// ErrMissing marks a data set that has not been fetched.
	ErrMissing = errors.New("not installed")
	// ErrChecksum marks a file whose content is not the published one.
	ErrChecksum = errors.New("wrong checksum")
	// ErrUnavailable is returned when no origin of a data set could be reached.
	ErrUnavailable = errors.New("cannot be fetched")
)
