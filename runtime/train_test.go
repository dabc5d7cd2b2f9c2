package runtime

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"winnow/internal/missing"
)

// device opens a CPU device, or skips where there is no library.
func device(t testing.TB, o Options) *Device {
	t.Helper()
	if o.Device == "" {
		o.Device = "cpu"
	}
	if o.Threads == 0 {
		o.Threads = 1
	}
	d, err := Open(o)
	if errors.Is(err, ErrNoLibrary) {
		missing.Skip(t, "no ONNX Runtime library: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noError(t, d.Close()) })
	return d
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error takes more than one line: %q", err)
	}
}

// paths are the ways to hold state and to run, all on the CPU provider.
var paths = []struct {
	name    string
	options Options
}{
	{"host memory", Options{}},
	{"device values", Options{deviceValues: true}},
	{"captured", Options{deviceValues: true, CUDAGraph: true}},
}

// reference is the training step of linearSpec in float64.
type reference struct {
	w, vw [testPixels * testClasses]float64
	b, vb [testClasses]float64
}

func (r *reference) step(in *StepInput, mask []float32) (loss float64, each, logits []float64) {
	var dw [testPixels * testClasses]float64
	var db [testClasses]float64
	for i := range in.N {
		var x [testPixels]float64
		for j := range x {
			x[j] = float64(in.Images[i*testPixels+j]) / 255
			if mask != nil {
				x[j] *= float64(mask[i*testPixels+j])
			}
		}
		z := r.b
		for j, v := range x {
			for k := range z {
				z[k] += v * r.w[j*testClasses+k]
			}
		}
		sum := 0.0
		for _, v := range z {
			sum += math.Exp(v)
		}
		logits = append(logits, z[:]...)
		l := math.Log(sum) - z[in.Labels[i]]
		each = append(each, l)
		loss += l / float64(in.N)
		scale := 1 / float64(in.N)
		if in.Weights != nil {
			scale *= float64(in.Weights[i])
		}
		if in.LossScale != 0 {
			scale *= float64(in.LossScale)
		}
		for k := range z {
			g := math.Exp(z[k]) / sum
			if int64(k) == in.Labels[i] {
				g--
			}
			g *= scale
			db[k] += g
			for j, v := range x {
				dw[j*testClasses+k] += v * g
			}
		}
	}
	lr := float64(in.LearningRate)
	for i := range r.w {
		r.vw[i] = momentum*r.vw[i] + dw[i]
		r.w[i] -= lr * r.vw[i]
	}
	for i := range r.b {
		r.vb[i] = momentum*r.vb[i] + db[i]
		r.b[i] -= lr * r.vb[i]
	}
	return loss, each, logits
}

func firstWeights() []float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	w := make([]float32, testPixels*testClasses)
	for i := range w {
		w[i] = float32(rng.NormFloat64() * 0.1)
	}
	return w
}

func randomBatch(rng *rand.Rand, n int, roles testRoles) *StepInput {
	in := &StepInput{N: n, LearningRate: 0.1}
	for range n * testPixels {
		in.Images = append(in.Images, byte(rng.UintN(256)))
	}
	for range n {
		in.Labels = append(in.Labels, rng.Int64N(testClasses))
	}
	if roles.weights && rng.IntN(2) == 0 {
		for range n {
			in.Weights = append(in.Weights, 1+rng.Float32())
		}
	}
	if roles.lossScale {
		in.LossScale = 1 + rng.Float32()
	}
	return in
}

func near(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(float64(got[i])-want[i]) <= tolerance) {
			t.Fatalf("%s[%d] = %v, want %v", what, i, got[i], want[i])
		}
	}
}

func readFloats(t *testing.T, s *State, i int) []float32 {
	t.Helper()
	b := make([]byte, s.Bytes(i))
	noError(t, s.Read(i, b))
	return as[float32](b)
}

// Twenty steps of several batch sizes, with every combination of optional
// roles at its two ends, against the float64 reference.
func TestStepMatchesReference(t *testing.T) {
	sizes := []int{8, 8, 3, 8, 8, 8, 5, 8, 3, 3, 8, 1, 8, 8, 8, 7, 8, 8, 2, 8}
	for _, path := range paths {
		for name, roles := range map[string]testRoles{"plain": {}, "all roles": allRoles} {
			t.Run(path.name+"/"+name, func(t *testing.T) {
				d := device(t, path.options)
				st, err := d.NewState(linearState(firstWeights()))
				noError(t, err)
				tr, err := d.NewTrainer(linearSpec(roles), st, 8)
				noError(t, err)
				ev, err := d.NewEvaluator(linearEval(), st, 8)
				noError(t, err)
				ref := &reference{}
				for i, w := range firstWeights() {
					ref.w[i] = float64(w)
				}
				rng := rand.New(rand.NewPCG(3, 4))
				var out StepOutput
				for step, n := range sizes {
					in := randomBatch(rng, n, roles)
					var mask []float32
					if roles.random {
						in.Random = func(slot int, dst []float32) {
							for i := range dst {
								dst[i] = rng.Float32()
							}
							mask = append([]float32(nil), dst...)
						}
					}
					noError(t, tr.Step(in, &out))
					loss, each, logits := ref.step(in, mask)
					near(t, "loss", []float32{out.Loss}, []float64{loss}, 1e-5)
					if roles.perSample {
						near(t, "per-sample loss", out.PerSample, each, 1e-5)
					} else if out.PerSample != nil {
						t.Fatal("per-sample losses from a graph without them")
					}
					if roles.logits {
						near(t, "logits", out.Logits, logits, 1e-5)
					}
					near(t, "w", readFloats(t, st, 0), ref.w[:], 1e-5)
					near(t, "b", readFloats(t, st, 1), ref.b[:], 1e-5)
					near(t, "vw", readFloats(t, st, 2), ref.vw[:], 1e-5)
					near(t, "vb", readFloats(t, st, 3), ref.vb[:], 1e-5)

					probe := *ref
					_, _, want := probe.step(in, nil)
					got, err := ev.Run(n, in.Images)
					noError(t, err)
					near(t, "evaluated logits", got, want, 1e-5)
					if t.Failed() {
						t.Fatalf("at step %d", step)
					}
				}
			})
		}
	}
}
