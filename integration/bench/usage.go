//go:build linux

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// cpuTime returns the CPU time, in user space and in the kernel, that a process has used so far in all its threads. It is the utime and stime of /proc/PID/stat,
// asked for as clock_getcpuclockid(3) does, which tells nanoseconds instead of ticks of 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	const schedulerClock = 2 // CPUCLOCK_SCHED of the kernel's posix-timers
	clock := uintptr(^pid)<<3 | schedulerClock
	var at syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(uint32(clock)), uintptr(unsafe.Pointer(&at)), 0); errno != 0 {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, errno)
	}
	return time.Duration(at.Nano()), nil
}

// cpuTimes is the sum over processes.
func cpuTimes(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		t, err := cpuTime(pid)
		if err != nil {
			return 0, err
		}
		sum += t
	}
	return sum, nil
}

// residentBytes returns the resident memory of a process.
func residentBytes(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return residentOf(string(status))
}

func residentOf(status string) (int64, error) {
	for line := range strings.Lines(status) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("no VmRSS")
}

// family returns a process and its children.
func family(pid int) ([]int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil, err
	}
	pids := []int{pid}
	for _, field := range strings.Fields(string(text)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		pids = append(pids, child)
	}
	return pids, nil
}

// raiseFileLimit allows as many open files as the system lets us, for the children as well.
func raiseFileLimit() (uint64, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	limit.Cur = limit.Max
	return limit.Cur, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// busyShare returns what share of the machine's CPU time is being used, of 0 to 1, over a while.
func busyShare(over time.Duration) (float64, error) {
	before, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	time.Sleep(over)
	after, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return busyBetween(string(before), string(after))
}

// busyBetween compares the first lines of two texts of /proc/stat [proc(5)].
func busyBetween(before, after string) (float64, error) {
	idle, all := [2]float64{}, [2]float64{}
	for k, text := range []string{before, after} {
		line, _, _ := strings.Cut(text, "\n")
		fields := strings.Fields(line)
		if len(fields) < 9 || fields[0] != "cpu" {
			return 0, fmt.Errorf("not a stat of /proc: %q", line)
		}
		for i, field := range fields[1:9] { // what follows, guests, is in these
			ticks, err := strconv.ParseFloat(field, 64)
			if err != nil {
				return 0, err
			}
			all[k] += ticks
			if i == 3 || i == 4 { // idle, iowait
				idle[k] += ticks
			}
		}
	}
	if all[1] <= all[0] {
		return 0, fmt.Errorf("no time has passed")
	}
	return 1 - (idle[1]-idle[0])/(all[1]-all[0]), nil
}
