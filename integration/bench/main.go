//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	// SIGPIPE: who reads the figures has gone, and the servers must be stopped all the same.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	defer stop()
	if len(os.Args) == 4 && os.Args[1] == "pipe" {
		exit(runPipe(ctx, os.Args[2], os.Args[3]))
	}
	if len(os.Args) == 3 && os.Args[1] == "storm" {
		exit(runStorm(ctx, os.Args[2]))
	}
	if len(os.Args) == 3 && os.Args[1] == "attack" {
		exit(runAttack(ctx, os.Args[2]))
	}
	exit(run(ctx))
}

// longest bounds a run of all rounds on a slow machine.
const longest = 2 * time.Hour

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(ctx context.Context) (err error) {
	gateway := flag.String("gateway", "bin/topicgate", "the gateway's binary")
	beside := flag.String("beside", "", "another gateway's binary, of an older version say, that takes its turns too")
	rounds := flag.Int("rounds", 5, "how often each load is played through each target")
	window := flag.Duration("window", 3*time.Second, "how long a load is measured")
	only := flag.String("only", "", "parts to run, separated by commas; all if empty: "+suiteNames())
	results := flag.String("results", "", "directory of results.json, results.md and results.svg; empty: only print")
	targets := flag.String("targets", "", "targets to compare, separated by commas; empty: all")
	profile := flag.String("profile", "", "directory for a profile by perf(1) of each load through the gateway and the pipe")
	render := flag.Bool("render", false, "measure nothing, only write again what was measured")
	flag.Parse()
	if flag.NArg() > 0 || *rounds < 1 {
		flag.Usage()
		return errors.New("wrong usage")
	}
	wanted, err := chosen(*only)
	if err != nil {
		return err
	}
	if _, err := raiseFileLimit(); err != nil {
		return err
	}
	b := &bench{rounds: *rounds, window: *window, out: os.Stdout, profiles: *profile}
	if *targets != "" {
		b.only = strings.Split(*targets, ",")
	}
	b.book = newBook()
	if *results != "" { // what is not measured now stays
		if b.book, err = openBook(filepath.Join(*results, "results.json")); err != nil {
			return err
		}
	}
	if *render {
		return b.publish(*results)
	}
	dir, err := os.MkdirTemp("", "topicgate-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b.world, err = newWorld(ctx, dir, *gateway, *beside)
	defer b.close()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, longest, fmt.Errorf("not done after %v", longest))
	defer cancel()
	for _, s := range wanted {
		if err := s.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if *results != "" {
			if err := b.publish(*results); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(b.out, "\n%s", b.promises())
	return nil
}

// chosen returns the suites named in a comma list; all of them if it is empty.
func chosen(only string) ([]suite, error) {
	if only == "" {
		return suites, nil
	}
	var wanted []suite
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(suites, func(s suite) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no part %q; there are %s", name, suiteNames())
		}
		wanted = append(wanted, suites[i])
	}
	return wanted, nil
}

func suiteNames() string {
	var names []string
	for _, s := range suites {
		names = append(names, s.name)
	}
	return strings.Join(names, ",")
}

// commit names the version that is measured.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
