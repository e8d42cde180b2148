//go:build linux

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ticks returns utime+stime of the text of /proc/PID/stat [proc(5)], in ticks of 10 ms.
func ticks(t *testing.T, stat string) (sum int64) {
	t.Helper()
	fields := strings.Fields(stat[strings.LastIndex(stat, ") ")+2:]) // a program's name may hold anything
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

func TestCPUTimeIsThatOfProc(t *testing.T) {
	for start := time.Now(); time.Since(start) < 50*time.Millisecond; { // so that there is something to compare
	}
	read := func() time.Duration {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", os.Getpid()))
		if err != nil {
			t.Skipf("no /proc: %v", err)
		}
		return time.Duration(ticks(t, string(stat))) * 10 * time.Millisecond
	}
	const rounding = 20 * time.Millisecond // user and system time are each cut to a tick
	low := read()
	got, err := cpuTime(os.Getpid())
	high := read()
	if err != nil || got < low || got > high+rounding {
		t.Errorf("cpuTime = %v, %v; /proc says %v before and %v after", got, err, low, high)
	}
	if got, err := cpuTime(1 << 22); err == nil {
		t.Errorf("cpuTime of no process = %v; want an error", got)
	}
}

func TestResidentMemoryOfAStatus(t *testing.T) {
	if got, err := residentOf("Name:\tx\nVmHWM:\t 2000 kB\nVmRSS:\t    1024 kB\nRssAnon:\t 1 kB\n"); got != 1<<20 || err != nil {
		t.Errorf("residentOf = %d, %v; want 1 MiB", got, err)
	}
	if got, err := residentOf("Name:\tkthreadd\n"); err == nil {
		t.Errorf("residentOf a kernel thread = %d; want an error", got)
	}
}

func TestCallsOfCommandstats(t *testing.T) {
	info := "# Commandstats\r\ncmdstat_smembers:calls=7,usec=70,usec_per_call=10.00,rejected_calls=0,failed_calls=0\r\n" +
		"cmdstat_client|tracking:calls=2,usec=4,usec_per_call=2.00\r\ncmdstat_sadd:calls=100,usec=100\r\ncmdstat_info:calls=3,usec=1\r\n"
	if got, err := callsIn(info, "info", "sadd"); got != 9 || err != nil {
		t.Errorf("callsIn = %d, %v; want 9", got, err)
	}
}

func TestBusyShareOfTheMachine(t *testing.T) {
	before := "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n"
	after := "cpu  150 5 120 720 105 0 0 0 7 7\n"
	if got, err := busyBetween(before, after); got != 0.75 || err != nil {
		t.Errorf("busyBetween = %v, %v; want 0.75", got, err)
	}
	for _, broken := range []string{"", "cpu 1 2 3", "cpu a 0 0 0 0 0 0 0", before} {
		if got, err := busyBetween(before, broken); err == nil {
			t.Errorf("busyBetween(..., %q) = %v; want an error", broken, got)
		}
	}
}
