//go:build race

// Package race says whether the race detector is on: under it sync.Pool forgets
// at random and the address space has no bound, so what counts allocations or
// bounds memory says nothing.
package race

// Enabled is whether the program was built with -race.
const Enabled = true
