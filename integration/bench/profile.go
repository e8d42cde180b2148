//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// profile samples a target in the first round of a load, if profiles were asked for: perf(1) sees kernel and program alike, and the
// gateway needs nothing built in for it. A nil process: nothing is sampled.
func (b *bench) profile(t *target, l load, round int) *process {
	if b.profiles == "" || round > 0 || t.process == nil {
		return nil
	}
	path, err := exec.LookPath("perf")
	if err != nil {
		fmt.Fprintln(b.out, "no profiles:", err)
		return nil
	}
	var pids []string
	for _, pid := range t.pids {
		pids = append(pids, strconv.Itoa(pid))
	}
	file := filepath.Join(b.profiles, strings.Map(fileRune, l.name)+"."+t.name+".perf")
	p, err := start(b.dir, "perf", path, []string{"record", "-q", "-F", "997", "--call-graph", "fp", "-o", file, "-p", strings.Join(pids, ","),
		"--", "sleep", strconv.FormatFloat((l.warmUp + l.measure + time.Second).Seconds(), 'f', 1, 64)}, []string{"HOME=" + os.Getenv("HOME")})
	if err != nil {
		fmt.Fprintln(b.out, "no profile:", err)
		return nil
	}
	return p
}

func fileRune(r rune) rune {
	if strings.ContainsRune(" ,:/", r) {
		return '_'
	}
	return r
}
