// promlint reads metrics in Prometheus' text format from standard input and prints what is wrong with them: the parser and the linter that
// `promtool check metrics` runs (client_golang's testutil/promlint, common's expfmt). Exit status 1 when there is anything.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	problems, err := promlint.New(strings.NewReader(string(text))).Lint()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, p := range problems {
		fmt.Println(p.Metric, p.Text)
	}
	if len(problems) > 0 || len(families) == 0 {
		os.Exit(1)
	}
	fmt.Println(len(families), "families")
}
