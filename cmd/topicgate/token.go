package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"topicgate/auth"
	"topicgate/config"
)

const (
	// maxTokenFile bounds what is read of a token's file: more is none that could be accepted.
	maxTokenFile = 1 << 20
	// tokenTimeout bounds the wait for an issuer.
	tokenTimeout = 15 * time.Second
)

func newToken(environ []string) *cobra.Command {
	return group("token", "Ask what the gateway says of a token", newTokenCheck(environ))
}

func newTokenCheck(environ []string) *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say step by step what the gateway would say of a token",
		Long: "Says step by step what the gateway would say of the token in FILE or on standard input, with what was found beside\n" +
			"what is accepted. It uses the same TOPICGATE_ variables and asks the same issuers for their keys; the token itself is\n" +
			"never printed. Redis is not asked: whether the user is blocked or the token revoked is another question.\n" +
			"Exit status 0: accepted, 1: refused or not decidable, 2: wrong usage or settings.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := config.Load(environ)
			if err != nil {
				return usage(wrongSettings(err))
			}
			token, err := readToken(cmd.InOrStdin(), args)
			if err != nil {
				return usage(err)
			}
			return checkToken(cmd.Context(), c, token, cmd.OutOrStdout())
		},
	}
}

// readToken takes the line break from the end that files have.
func readToken(from io.Reader, args []string) (string, error) {
	if len(args) == 1 && args[0] != "-" {
		file, err := os.Open(args[0])
		if err != nil {
			return "", err
		}
		defer file.Close()
		from = file
	}
	text, err := io.ReadAll(io.LimitReader(from, maxTokenFile))
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), err
}

// checkToken prints the steps and then what the gateway says. The error is an outcome.
func checkToken(ctx context.Context, c config.Config, token string, stdout io.Writer) error {
	options, err := verifierOptions(c)
	if err != nil {
		return usage(err)
	}
	verifier, err := auth.NewVerifier(options)
	if err != nil {
		return usage(err)
	}
	defer func() { // ends what it has begun
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = verifier.Run(ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	steps := verifier.Explain(ctx, token)
	identity, verdict := verifier.Verify(ctx, token)
	if err := printSteps(stdout, steps); err != nil {
		return failed(err)
	}
	if verdict != nil {
		return failed(verdict)
	}
	_, err = fmt.Fprintf(stdout, "accepted: the user is %q until %s\n", identity.Username, identity.Expiry.UTC().Format(time.RFC3339))
	return err
}

func printSteps(w io.Writer, steps []auth.Step) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, step := range steps {
		var words []string
		for _, text := range []string{step.Found, step.Accepted} {
			if text != "" {
				words = append(words, text)
			}
		}
		if step.Err == nil {
			fmt.Fprintf(table, "%s\tok\t%s\n", step.Name, strings.Join(words, "; "))
			continue
		}
		word := "refused"
		if _, ok := errors.AsType[*auth.Undecided](step.Err); ok {
			word = "undecided"
		}
		// The error has the words of the log, and most of them tell what was found.
		if text := step.Err.Error(); len(words) == 0 || strings.Contains(text, words[0]) {
			words = []string{text}
		} else {
			words = append(words, text)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", step.Name, word, strings.Join(words, "; "))
	}
	return table.Flush()
}
