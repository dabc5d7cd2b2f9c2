package train

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"math"
	"slices"
	"strings"

	"winnow/eval"
	"winnow/loader"
	"winnow/onnx"
	"winnow/prune"
	"winnow/run"
)

// Comm adds and shares numbers between the processes of a job. Each call is
// made by all of them, in one order.
type Comm interface {
	Sum(x []float32) error       // every x becomes the sum of all
	SumWide(x []float64) error   // the same
	Broadcast(data []byte) error // every data becomes rank 0's, of one length
}

// Job is a process's place among those that train together. The zero value is a
// process alone.
type Job struct {
	Rank, Size int
	Comm       Comm
	// Direct is whether Comm, an ortrun.DeviceSummer then, is given gradients as
	// they lie on the device.
	Direct bool
}

// alone is whether no other process takes part.
func (j *Job) alone() bool { return j.Size <= 1 }

// leads is whether this process writes and speaks for all.
func (j *Job) leads() bool { return j.Rank == 0 }

// shard is this process's part of each batch.
func (j *Job) shard() loader.Shard { return loader.Shard{Index: j.Rank, Of: max(j.Size, 1)} }

// errElsewhere is the cause of a stop that another process was asked for.
var errElsewhere = fmt.Errorf("another process of the job was told to stop: %w", context.Canceled)

// agreed marks an error that every process of a job has come to at the same point.
type agreed struct{ error }

func (a agreed) Unwrap() error { return a.error }

// Agreed is whether every process of a job ends with this error, each by itself.
func Agreed(err error) bool {
	var a agreed
	return err == nil || errors.As(err, &a)
}

// agree holds a hash against those of the other processes.
func (j *Job) agree(what string, h hash.Hash) error {
	if j.alone() {
		return nil
	}
	const parts = sha256.Size / 2
	all := make([]float64, parts*j.Size)
	for i := range parts {
		all[j.Rank*parts+i] = float64(binary.LittleEndian.Uint16(h.Sum(nil)[2*i:]))
	}
	if err := j.Comm.SumWide(all); err != nil {
		return err
	}
	var others []string
	for r := 1; r < j.Size; r++ {
		if !slices.Equal(all[:parts], all[r*parts:][:parts]) {
			others = append(others, fmt.Sprint(r))
		}
	}
	if others == nil {
		return nil
	}
	return agreed{fmt.Errorf("train: %w: rank %s has other %s than rank 0", ErrDisagree, strings.Join(others, ", "), what)}
}

// agreeOnRun compares what the processes of a job are to do, before they begin.
func (l *loop) agreeOnRun() error {
	if l.o.Job.alone() {
		return nil
	}
	c := l.summary.Config
	c.Workers, c.Prefetch, c.Command = 0, 0, nil // each machine's own affair
	options, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	for _, part := range []struct{ what, is string }{
		{"a version of winnow", l.o.Version}, {"a bundle", l.identity.Bundle}, {"data", l.identity.Data}, {"options", string(options)},
	} {
		h := sha256.New()
		h.Write([]byte(part.is))
		if err := l.o.Job.agree(strings.TrimPrefix(part.what, "a "), h); err != nil {
			return err
		}
	}
	return nil
}

// agreeOnEpoch compares the state and the plan that an epoch begins with.
func (l *loop) agreeOnEpoch(epoch int, plan prune.Plan) error {
	if l.o.Job.alone() {
		return nil
	}
	h := sha256.New()
	for _, i := range plan.Indices {
		number(h, int64(i))
	}
	for _, w := range plan.Weights {
		number(h, int64(math.Float32bits(w)))
	}
	if err := l.o.Job.agree(fmt.Sprintf("samples in epoch %d", epoch), h); err != nil {
		return err
	}
	state, err := l.graphs.read()
	if err != nil {
		return err
	}
	h = sha256.New()
	for _, s := range l.o.Bundle.Manifest.State {
		h.Write(state[s.Name].Data)
	}
	return l.o.Job.agree(fmt.Sprintf("weights before epoch %d", epoch), h)
}

// beginTogether gives every process the checkpoint that rank 0 has, nil for
// none, and whether an earlier run stands at the folder.
func (l *loop) beginTogether(c *run.Checkpoint) (*run.Checkpoint, error) {
	if l.folder != nil {
		l.staged = l.folder.Staged()
	}
	if l.o.Job.alone() {
		return c, nil
	}
	head := []byte{0, 0}
	if l.staged {
		head[0] = 1
	}
	if c != nil {
		head[1] = 1
	}
	if err := l.o.Job.Comm.Broadcast(head); err != nil {
		return nil, err
	}
	l.staged = head[0] == 1
	if head[1] == 0 {
		return nil, nil
	}
	return l.share(c)
}

// share gives every process rank 0's checkpoint; the others have none.
func (l *loop) share(c *run.Checkpoint) (*run.Checkpoint, error) {
	j := &l.o.Job
	if j.alone() {
		return c, nil
	}
	if c == nil {
		c = &run.Checkpoint{State: map[string]*onnx.Tensor{}}
		for _, s := range l.o.Bundle.Manifest.State {
			dtype, err := onnx.ParseDType(s.DType)
			if err != nil {
				return nil, fmt.Errorf("train: state %q: %w", s.Name, err)
			}
			c.State[s.Name] = onnx.NewTensor(dtype, s.Shape...)
		}
	} else if err := l.graphs.fits(c.State); err != nil {
		return nil, err
	}
	position, err := json.Marshal(&c.Position)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	for _, part := range []*[]byte{&position, &c.Pruner} {
		var size [8]byte
		binary.LittleEndian.PutUint64(size[:], uint64(len(*part)))
		if err := j.Comm.Broadcast(size[:]); err != nil {
			return nil, err
		}
		if !j.leads() {
			*part = make([]byte, binary.LittleEndian.Uint64(size[:]))
		}
		if err := j.Comm.Broadcast(*part); err != nil {
			return nil, err
		}
	}
	for _, s := range l.o.Bundle.Manifest.State {
		if err := j.Comm.Broadcast(c.State[s.Name].Data); err != nil {
			return nil, err
		}
	}
	if j.leads() {
		return c, nil
	}
	if err := json.Unmarshal(position, &c.Position); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	return c, nil
}

// newest is the newest checkpoint of the run, for every process of the job.
func (l *loop) newest() (c *run.Checkpoint, err error) {
	if l.o.Job.leads() {
		if c, err = l.folder.Newest(); err != nil {
			return nil, err
		}
	}
	return l.share(c)
}

// leaders makes of numbers, which every process has measured, rank 0's.
func (j *Job) leaders(x *float64, more []float64) error {
	if j.alone() {
		return nil
	}
	all := append([]float64{*x}, more...)
	if !j.leads() {
		clear(all)
	}
	err := j.Comm.SumWide(all)
	*x = all[0]
	copy(more, all[1:])
	return err
}

// together makes of this process's part of an evaluation that of all: sums over
// the parts of classes, rank 0's loss of anything else, which it measures whole.
func (l *loop) together(r *eval.Result, parts bool) error {
	j := &l.o.Job
	if j.alone() {
		return nil
	}
	if !parts {
		return j.leaders(&r.Loss, nil)
	}
	x := r.Sums()
	if err := j.Comm.SumWide(x); err != nil {
		return err
	}
	r.PutSums(x)
	return nil
}
