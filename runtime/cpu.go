package runtime

import (
	"fmt"
	"os"
	goruntime "runtime"
	"strings"

	"golang.org/x/sys/cpu"
)

// physicalCores is the number of cores this process may keep busy: hardware
// threads of one core counted once, no more than the scheduler was given
// (GOMAXPROCS follows CPU affinity and the container's quota).
func physicalCores() int {
	limit := goruntime.GOMAXPROCS(0)
	cores := map[string]bool{}
	for i := range 4096 {
		list, err := os.ReadFile(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", i))
		if err != nil {
			break
		}
		cores[strings.TrimSpace(string(list))] = true
	}
	if len(cores) == 0 {
		return limit
	}
	return min(limit, len(cores))
}

// coresBeside is physicalCores divided by the processes on the machine, unless a
// launcher has bound this one to some of its processors already.
func coresBeside(processes int) int {
	cores := physicalCores()
	if processes <= 1 {
		return cores
	}
	if all, err := os.ReadDir("/sys/bus/cpu/devices"); err == nil && goruntime.NumCPU() < len(all) {
		return cores
	}
	return max(1, cores/processes)
}

// cpuFeatures lists the vector extensions that decide which kernels run.
func cpuFeatures() []string {
	var have []string
	add := func(name string, ok bool) {
		if ok {
			have = append(have, name)
		}
	}
	switch goruntime.GOARCH {
	case "amd64":
		x := cpu.X86
		add("sse4.2", x.HasSSE42)
		add("avx", x.HasAVX)
		add("fma", x.HasFMA)
		add("avx2", x.HasAVX2)
		add("avx512f", x.HasAVX512F)
		add("avx512bw", x.HasAVX512BW)
		add("avx512vl", x.HasAVX512VL)
		add("avx512vnni", x.HasAVX512VNNI)
		add("avx512bf16", x.HasAVX512BF16)
		add("amx-int8", x.HasAMXInt8)
		add("amx-bf16", x.HasAMXBF16)
	case "arm64":
		a := cpu.ARM64
		add("asimd", a.HasASIMD)
		add("fp16", a.HasASIMDHP)
		add("dotprod", a.HasASIMDDP)
		add("i8mm", a.HasI8MM)
		add("sve", a.HasSVE)
		add("sve2", a.HasSVE2)
	}
	return have
}
