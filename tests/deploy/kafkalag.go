// kafkalag reads a ScaledObject and says what KEDA's own Kafka scaler makes of each of its triggers: the lag that would
// scale the workers, and whether they are woken. tools.sh builds it inside KEDA's module; keda.sh asks it.
//
//	keda-kafkalag [AUTHENTICATION] < ScaledObject.yaml
//
// AUTHENTICATION is a file of lines KEY=VALUE, as a TriggerAuthentication would give them; a VALUE that begins with @ is
// the content of that file. Prints "TRIGGER lag N active true|false target M"; ends with 1 when a trigger is refused or
// the broker cannot tell.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	v2 "k8s.io/api/autoscaling/v2"
	"sigs.k8s.io/yaml"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/kedacore/keda/v2/pkg/scalers"
	"github.com/kedacore/keda/v2/pkg/scalers/scalersconfig"
)

func authentication(path string) (map[string]string, error) {
	found := map[string]string{}
	if path == "" {
		return found, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
		key, value, _ := strings.Cut(line, "=")
		if name, isFile := strings.CutPrefix(value, "@"); isFile {
			bytes, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			value = string(bytes)
		}
		found[key] = value
	}
	return found, nil
}

func ask(so *kedav1alpha1.ScaledObject, index int, params map[string]string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	trigger := so.Spec.Triggers[index]
	if trigger.Type != "kafka" {
		return fmt.Errorf("a trigger of type %q", trigger.Type)
	}
	scaler, err := scalers.NewKafkaScaler(ctx, &scalersconfig.ScalerConfig{
		TriggerType: trigger.Type, TriggerMetadata: trigger.Metadata, AuthParams: params, TriggerIndex: index,
		MetricType: v2.AverageValueMetricType, ScalableObjectName: so.Name, ScalableObjectNamespace: so.Namespace,
		ScalableObjectType: "ScaledObject", ScaledObject: so, GlobalHTTPTimeout: 10 * time.Second,
	})
	if err != nil {
		return err
	}
	defer scaler.Close(ctx)
	values, active, err := scaler.GetMetricsAndActivity(ctx, fmt.Sprintf("s%d-kafka", index))
	if err != nil {
		return err
	}
	spec := scaler.GetMetricSpecForScaling(ctx)
	for i := range values {
		fmt.Printf("%d lag %d active %t target %s\n", index, values[i].Value.Value(), active,
			spec[i].External.Target.AverageValue.String())
	}
	return nil
}

func run() error {
	content, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	var so kedav1alpha1.ScaledObject
	if err := yaml.UnmarshalStrict(content, &so); err != nil {
		return err
	}
	if len(so.Spec.Triggers) == 0 {
		return fmt.Errorf("no trigger")
	}
	path := ""
	if len(os.Args) > 1 {
		path = os.Args[1]
	}
	params, err := authentication(path)
	if err != nil {
		return err
	}
	for i := range so.Spec.Triggers {
		if err := ask(&so, i, params); err != nil {
			return fmt.Errorf("trigger %d: %w", i, err)
		}
	}
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "keda-kafkalag:", err)
		os.Exit(1)
	}
}
