package main

import (
	"bytes"
	"strings"
	"testing"
)

// result is what one run of the program gave.
type result struct {
	status         int
	stdout, stderr string
}

func topicgate(t *testing.T, environ []string, stdin string, args ...string) result {
	t.Helper()
	root := newRoot(environ)
	root.SetIn(strings.NewReader(stdin))
	var stdout, stderr bytes.Buffer
	status := execute(t.Context(), root, args, &stdout, &stderr)
	return result{status, stdout.String(), stderr.String()}
}

func TestWrongUsageIsToldInOneSentence(t *testing.T) {
	for args, want := range map[string]string{
		"":                             "topicgate needs a command; see topicgate --help",
		"polcy":                        `unknown command "polcy" for topicgate; did you mean policy?`,
		"policy":                       "topicgate policy needs a command; see topicgate policy --help",
		"token":                        "topicgate token needs a command; see topicgate token --help",
		"token check a b":              "accepts at most 1 arg(s), received 2; see topicgate token check --help",
		"config --connect":             "--connect belongs to --check; see topicgate config --help",
		"policy chek":                  `unknown command "chek" for topicgate policy; did you mean check?`,
		"policy check":                 "which FILE is to be checked?; see topicgate policy check --help",
		"config --chek":                "unknown flag: --chek; see topicgate config --help",
		"config listen":                `unknown command "listen" for "topicgate config"; see topicgate config --help`,
		"version 2":                    `unknown command "2" for "topicgate version"; see topicgate version --help`,
		"policy explain publish a":     "whose rights? --user USER, or --claims FILE with a token's claims",
		"policy explain --user a send": "what is to be explained? publish TOPIC, subscribe FILTER or receive TOPIC; see topicgate policy explain --help",
	} {
		got := topicgate(t, nil, "", strings.Fields(args)...)
		if got != (result{exitUsage, "", "topicgate: " + want + "\n"}) {
			t.Errorf("topicgate %s = %+v; want status 2 and %q", args, got, want)
		}
	}
}

func TestHelpIsNoError(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"help"}, {"help", "policy"}, {"config", "-h"}, {"policy", "explain", "--help"}} {
		if got := topicgate(t, nil, "", args...); got.status != exitDone || got.stdout == "" || got.stderr != "" {
			t.Errorf("topicgate %q = %+v; want help on standard output", args, got)
		}
	}
}

func TestRunIsTheWholeProgram(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"version"}, nil, &stdout, &stderr); status != exitDone || !strings.HasPrefix(stdout.String(), "topicgate ") {
		t.Errorf("run(version) = %d, %q, %q; want 0 and the version", status, stdout.String(), stderr.String())
	}
	// No arguments must not mean those of the test binary.
	if status := run(t.Context(), nil, nil, &stdout, &stderr); status != exitUsage {
		t.Errorf("run() = %d; want %d", status, exitUsage)
	}
}
