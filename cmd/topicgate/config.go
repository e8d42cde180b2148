package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"topicgate/config"
)

func newConfig(environ []string) *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use:   "config [--check]",
		Short: "Print every setting, or check those of the environment",
		Long: "Prints every setting: variable, type, default and meaning. With --check, reads the environment and the files\n" +
			"that it names instead, shows what is set, and names every mistake; it opens no connection.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if check {
				return checkConfig(environ, cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			return config.Print(cmd.OutOrStdout())
		},
	}
	c.Flags().BoolVar(&check, "check", false, "check the environment")
	return c
}

func checkConfig(environ []string, stdout, stderr io.Writer) error {
	c, err := config.Load(environ)
	if err == nil {
		err = checkParts(c)
	}
	if err != nil {
		return failed(wrongSettings(err))
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, v := range c.Values() {
		if v.Source != v.Variable {
			v.Text += "\tfrom " + v.Source
		}
		fmt.Fprintf(table, "%s\t%s\n", v.Variable, v.Text)
	}
	if err := table.Flush(); err != nil {
		return failed(err)
	}
	for _, w := range c.Warnings {
		fmt.Fprintf(stderr, "topicgate: warning: %v\n", w)
	}
	_, err = fmt.Fprintln(stdout, "the settings are valid; those not shown have their defaults")
	return err
}

// wrongSettings says how many mistakes there are before it names them.
func wrongSettings(err error) error {
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		return err
	}
	if len(problems) == 1 {
		return problems[0]
	}
	return fmt.Errorf("%d settings are wrong:\n%w", len(problems), problems)
}
