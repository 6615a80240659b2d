package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
)

// programName is what the program was called as: in runc's place it may be
// installed under runc's name, and what parses the help and the version of that
// finds it there.
func programName() string { return filepath.Base(os.Args[0]) }

// The help has the form of runc's.
func usage(f *flag.FlagSet) {
	fmt.Fprintf(os.Stdout, "NAME:\n   %s - Open Container Initiative runtime\n", programName())
	fmt.Fprintf(os.Stdout, "\nUSAGE:\n   %s [global options] command [command options] [arguments...]\n", programName())
	fmt.Fprintf(os.Stdout, "\nVERSION:\n   %s\n", version)
	fmt.Fprintln(os.Stdout, "\nCOMMANDS:")
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, v := range verbs() {
		fmt.Fprintf(w, "   %s\t%s\n", v.name, v.about)
	}
	_ = w.Flush()
	options(f, "GLOBAL OPTIONS:")
}

func verbUsage(v *verb, f *flag.FlagSet) {
	fmt.Fprintf(os.Stdout, "NAME:\n   %s %s - %s\n", programName(), v.name, v.about)
	fmt.Fprintf(os.Stdout, "\nUSAGE:\n   %s %s [command options] %s\n", programName(), v.name, v.args)
	options(f, "OPTIONS:")
}

// options lists the flags, those with one letter beside their long names.
func options(f *flag.FlagSet, title string) {
	short := map[string]string{}
	f.VisitAll(func(o *flag.Flag) {
		if len(o.Name) == 1 {
			short[o.Usage] = o.Name
		}
	})
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	var names []string
	f.VisitAll(func(o *flag.Flag) { names = append(names, o.Name) })
	slices.Sort(names)
	if len(names) > 0 {
		fmt.Fprintln(os.Stdout, "\n"+title)
	}
	for _, name := range names {
		o := f.Lookup(name)
		if len(name) == 1 {
			continue
		}
		placeholder, text := flag.UnquoteUsage(o)
		left := "--" + name
		if s := short[o.Usage]; s != "" {
			left += ", -" + s
		}
		if placeholder != "" {
			left += " " + placeholder
		}
		if o.DefValue != "" && o.DefValue != "false" && o.DefValue != "0" {
			text += " (default: " + o.DefValue + ")"
		}
		fmt.Fprintf(w, "   %s\t%s\n", left, text)
	}
	_ = w.Flush()
}

// boolFlag and stringFlag declare a flag with a long and a short name.
func boolFlag(f *flag.FlagSet, v *bool, long, short, text string) {
	f.BoolVar(v, long, false, text)
	f.BoolVar(v, short, false, text)
}

func stringFlag(f *flag.FlagSet, v *string, long, short, value, text string) {
	f.StringVar(v, long, value, text)
	f.StringVar(v, short, value, text)
}
