package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// Exit status.
const (
	exitDone   = 0
	exitFailed = 1 // refused, invalid, denied, or it could not be done
	exitUsage  = 2 // wrong usage or settings
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is the whole program, and returns its exit status.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	return execute(ctx, newRoot(environ), args, stdout, stderr)
}

func execute(ctx context.Context, root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	root.SetArgs(append([]string{}, args...)) // nil would mean os.Args
	root.SetOut(stdout)
	root.SetErr(stderr)
	c, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	// What is no outcome comes from cobra: an unknown command or flag, too few arguments.
	result, ok := errors.AsType[*outcome](err)
	if !ok {
		result = usage(fmt.Errorf("%w; see %s --help", err, c.CommandPath()))
	}
	if result.err != nil {
		fmt.Fprintf(stderr, "topicgate: %v\n", result.err)
	}
	return result.status
}

// outcome is a command's end that is not success.
type outcome struct {
	status int
	err    error // nil: all is said
}

func (o *outcome) Error() string { return fmt.Sprintf("exit status %d: %v", o.status, o.err) }

func failed(err error) *outcome { return &outcome{exitFailed, err} }
func usage(err error) *outcome  { return &outcome{exitUsage, err} }

func newRoot(environ []string) *cobra.Command {
	root := group("topicgate", "WebSocket-to-MQTT gateway that checks every packet against OIDC identities and policies in Redis",
		newServe(environ),
		newConfig(environ),
		newPolicy(environ),
		newToken(environ),
		newSessions(environ),
		newDisconnect(environ),
		newAudit(environ),
		newVersion(),
	)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	return root
}

// group is a command that does nothing without one of its subcommands.
func group(name, short string, subcommands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short, Args: cobra.ArbitraryArgs}
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(subcommands...)
	c.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage(fmt.Errorf("%s needs a command; see %[1]s --help", c.CommandPath()))
		}
		hint := "see " + c.CommandPath() + " --help"
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "did you mean " + strings.Join(near, " or ") + "?"
		}
		return usage(fmt.Errorf("unknown command %q for %s; %s", args[0], c.CommandPath(), hint))
	}
	return c
}
