package docker

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// nanoCPUs reads a Kubernetes quantity of processors, such as 500m or 1.5. Empty is 0, no limit.
func nanoCPUs(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	number, milli := strings.CutSuffix(text, "m")
	cpus, err := strconv.ParseFloat(number, 64)
	if milli {
		cpus /= 1000
	}
	if err != nil || !(cpus > 0 && cpus < 1e6) {
		return 0, fmt.Errorf("cpu: %.40q is no quantity such as 500m", text)
	}
	return int64(math.Round(cpus * 1e9)), nil
}

// multiples are those of Kubernetes quantities, in bytes.
var multiples = map[string]float64{"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}

// memoryBytes reads a Kubernetes quantity of memory, such as 256Mi. Empty is 0, no limit.
func memoryBytes(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	number := strings.TrimRight(text, "kMGTi")
	multiple, known := multiples[text[len(number):]]
	n, err := strconv.ParseUint(number, 10, 48)
	bytes := float64(n) * multiple
	if err != nil || !known || bytes < 1 || bytes > 1<<60 {
		return 0, fmt.Errorf("memory: %.40q is no quantity such as 256Mi", text)
	}
	return int64(bytes), nil
}

func splitUser(user string) (uid, gid string) {
	uid, gid, _ = strings.Cut(user, ":")
	return uid, gid
}
