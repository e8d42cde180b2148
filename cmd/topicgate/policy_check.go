package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"topicgate/policy"
)

func newPolicy(environ []string) *cobra.Command {
	return group("policy", "Check rules, and ask what they decide", newPolicyCheck(), newPolicyExplain(environ))
}

func newPolicyCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE...",
		Short: "Parse files of rules and name what is wrong in them ('-' is standard input)",
		Args: func(_ *cobra.Command, files []string) error {
			if len(files) == 0 {
				return errors.New("which FILE is to be checked?")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, files []string) error {
			var wrong []error
			for _, file := range files {
				if err := checkRules(cmd, file); err != nil {
					wrong = append(wrong, err)
				}
			}
			if len(wrong) > 0 {
				return failed(errors.Join(wrong...))
			}
			return nil
		},
	}
}

// checkRules prints what is wrong with one file. The error sums it up.
func checkRules(cmd *cobra.Command, file string) error {
	rules, err := readRules(cmd.InOrStdin(), file)
	if problems, ok := errors.AsType[policy.Problems](err); ok {
		fmt.Fprintln(cmd.ErrOrStderr(), problems.Error())
		return fmt.Errorf("%s: refused as a whole for %s", file, count(len(problems), "invalid line"))
	}
	if err != nil {
		return err
	}
	warnings := rules.Warnings()
	for _, w := range warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), w)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %s\n", file, count(rules.Len(), "rule"), count(len(warnings), "warning"))
	return err
}

func readRules(stdin io.Reader, file string) (*policy.Ruleset, error) {
	var text []byte
	var err error
	if file == "-" {
		text, err = io.ReadAll(stdin)
	} else {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, err
	}
	return policy.Parse(file, string(text))
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
