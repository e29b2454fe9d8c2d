package packaging

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// manifests is everything in deploy/kubernetes, read as strictly as an API server does with "--validate=strict": unknown and
// repeated fields are errors.
func manifests(t *testing.T) []runtime.Object {
	t.Helper()
	files, err := filepath.Glob("../deploy/kubernetes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("No manifests: %v", err)
	}
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	var all []runtime.Object
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
		for {
			document, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			object, _, err := decoder.Decode(document, nil, nil)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all = append(all, object)
		}
	}
	return all
}

// only is the one object of type T.
func only[T runtime.Object](t *testing.T) T {
	t.Helper()
	var found []T
	for _, o := range manifests(t) {
		if o, ok := o.(T); ok {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d of %T, want one", len(found), *new(T))
	}
	return found[0]
}

// TestManifestsAreStrict shows that the reader of the other tests sees what is wrong.
func TestManifestsAreStrict(t *testing.T) {
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	for _, wrong := range []string{
		"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {port: []}\n",
		"apiVersion: v1\nkind: Service\nmetadata: {name: a, name: b}\n",
		"apiVersion: v1\nkind: Service\nspec: {ports: [{port: dns}]}\n",
		"apiVersion: v2\nkind: Service\n",
	} {
		if o, _, err := decoder.Decode([]byte(wrong), nil, nil); err == nil {
			t.Errorf("Got %v of %q", o, wrong)
		}
	}
}

// TestRestricted: the pods are what the restricted Pod Security Standard allows, which the namespace asks for.
func TestRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	template := only[*appsv1.Deployment](t).Spec.Template
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	evaluate := func(spec *corev1.PodSpec) policy.AggregateCheckResult {
		return policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &template.ObjectMeta, spec))
	}
	if r := evaluate(&template.Spec); !r.Allowed {
		t.Errorf("Not restricted: %s", r.ForbiddenDetail())
	}
	worse := template.Spec.DeepCopy()
	worse.Containers[0].SecurityContext.Capabilities.Add = []corev1.Capability{"NET_ADMIN"}
	if r := evaluate(worse); r.Allowed {
		t.Error("A pod with NET_ADMIN passes: nothing is checked")
	}
	if got := only[*corev1.Namespace](t).Labels[api.EnforceLevelLabel]; got != string(api.LevelRestricted) {
		t.Errorf("The namespace enforces %q", got)
	}
	c := template.Spec.Containers[0].SecurityContext
	if !*c.ReadOnlyRootFilesystem || *template.Spec.AutomountServiceAccountToken ||
		*only[*corev1.ServiceAccount](t).AutomountServiceAccountToken {
		t.Error("A file system that can be written, or a token of the cluster")
	}
}

// TestManifestsFit: what one object says of another is so.
func TestManifestsFit(t *testing.T) {
	d := only[*appsv1.Deployment](t)
	pods, pod := labels.Set(d.Spec.Template.Labels), d.Spec.Template.Spec
	selectors := map[string]labels.Selector{"Service": labels.SelectorFromSet(only[*corev1.Service](t).Spec.Selector)}
	for what, s := range map[string]labels.Set{
		"Deployment":          d.Spec.Selector.MatchLabels,
		"PodDisruptionBudget": only[*policyv1.PodDisruptionBudget](t).Spec.Selector.MatchLabels,
		"NetworkPolicy":       only[*networkingv1.NetworkPolicy](t).Spec.PodSelector.MatchLabels,
		"spread":              pod.TopologySpreadConstraints[0].LabelSelector.MatchLabels,
	} {
		selectors[what] = labels.SelectorFromSet(s)
	}
	for what, s := range selectors {
		if s.Empty() || !s.Matches(pods) {
			t.Errorf("%s selects %s, and the pods are %s", what, s, pods)
		}
	}

	ports := make(map[string]corev1.ContainerPort)
	for _, p := range pod.Containers[0].Ports {
		if wrong := validation.IsValidPortName(p.Name); len(wrong) > 0 {
			t.Errorf("Port %s: %s", p.Name, wrong)
		}
		ports[p.Name] = p
	}
	known := func(who string, port intstr.IntOrString, protocol corev1.Protocol) {
		if p, ok := ports[port.StrVal]; !ok || p.Protocol != protocol {
			t.Errorf("%s: port %s/%s, and the pods have %v", who, port.String(), protocol, slices.Collect(maps.Keys(ports)))
		}
	}
	for _, p := range only[*corev1.Service](t).Spec.Ports {
		known("Service", p.TargetPort, p.Protocol)
	}
	for _, rule := range only[*networkingv1.NetworkPolicy](t).Spec.Ingress {
		for _, p := range rule.Ports {
			known("NetworkPolicy", *p.Port, *p.Protocol)
		}
	}
	known("Liveness", pod.Containers[0].LivenessProbe.HTTPGet.Port, corev1.ProtocolTCP)
	known("Readiness", pod.Containers[0].ReadinessProbe.HTTPGet.Port, corev1.ProtocolTCP)

	config := only[*corev1.ConfigMap](t)
	if name := pod.Volumes[0].ConfigMap.Name; name != config.Name {
		t.Errorf("The pods mount the ConfigMap %s, and there is %s", name, config.Name)
	}
	if name := only[*corev1.ServiceAccount](t).Name; name != pod.ServiceAccountName {
		t.Errorf("The pods run as %s, and there is %s", pod.ServiceAccountName, name)
	}
	for _, o := range manifests(t) {
		m, err := meta.Accessor(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := o.(*corev1.Namespace); !ok && m.GetNamespace() != only[*corev1.Namespace](t).Name {
			t.Errorf("%s %s is in namespace %q", o.GetObjectKind().GroupVersionKind().Kind, m.GetName(), m.GetNamespace())
		}
	}
}

// TestManifestsAndCorefile: the ports and paths of the pods are those of the Corefile.
func TestManifestsAndCorefile(t *testing.T) {
	corefile := only[*corev1.ConfigMap](t).Data["Corefile"]
	c := only[*appsv1.Deployment](t).Spec.Template.Spec.Containers[0]
	for _, p := range c.Ports {
		if want := map[string]string{"dns-udp": ":1053 ", "dns-tcp": ":1053 ", "kms": "responder :1688 ", "metrics": "prometheus :9153\n",
			"health": "health :8080 ", "ready": "ready :8181\n"}[p.Name]; want == "" || !strings.Contains(corefile, want) ||
			!strings.Contains(want, fmt.Sprint(":", p.ContainerPort)) {
			t.Errorf("Port %s is %d, and the Corefile has no %q", p.Name, p.ContainerPort, want)
		}
	}
	for _, m := range c.VolumeMounts {
		if !m.ReadOnly && !strings.Contains(corefile, " "+m.MountPath+"/") {
			t.Errorf("Nothing of the Corefile is in %s", m.MountPath)
		}
	}
}
