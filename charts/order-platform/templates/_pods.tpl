{{- /* Name of the account of a component. Takes a dict: root, component. */ -}}
{{- define "order-platform.account" -}}
{{- $account := (index .root.Values .component).serviceAccount -}}
{{- if $account.create -}}
{{- $account.name | default (printf "%s-%s" (include "order-platform.fullname" .root) .component) -}}
{{- else -}}
{{- required (printf "%s.serviceAccount.name: with create=false name an account that exists" .component) $account.name -}}
{{- end -}}
{{- end }}

{{- /* Labels of a pod. Takes a dict: root, settings, own. */ -}}
{{- define "order-platform.podLabels" -}}
{{- $labels := merge (deepCopy .own) (include "order-platform.labels" .root | fromYaml) .settings.podLabels -}}
{{- toYaml $labels -}}
{{- end }}

{{- /* Whether pods get their user from the cluster. */ -}}
{{- define "order-platform.userOfTheCluster" -}}
{{- $adapt := dig "compatibility" "openshift" "adaptSecurityContext" "auto" (.Values.global | default dict) -}}
{{- if or (eq $adapt "force") (and (eq $adapt "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) }}true{{ end -}}
{{- end }}

{{- /* Pod Security level `restricted`. */ -}}
{{- define "order-platform.podSecurityContext" -}}
runAsNonRoot: true
{{- if not (include "order-platform.userOfTheCluster" .) }}
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "order-platform.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* The head of a pod's spec. Takes a dict: root, component, settings (values of its pods), and optionally `selector`,
      the labels by which its pods keep to different nodes, and `account`, another account, with `token`. */ -}}
{{- define "order-platform.podSpec" -}}
{{- $component := index .root.Values .component -}}
serviceAccountName: {{ .account | default (include "order-platform.account" .) }}
automountServiceAccountToken: {{ hasKey . "token" | ternary .token $component.serviceAccount.automount }}
{{- $secrets := list }}
{{- range concat ((.root.Values.global).imagePullSecrets | default list) $component.image.pullSecrets }}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) }}
{{- end }}
{{- with $secrets | uniq }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .settings.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .selector }}
{{- $spread := $.settings.topologySpreadConstraints }}
{{- if kindIs "invalid" $spread }}
{{- $spread = list (dict "maxSkew" 1 "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "ScheduleAnyway" "matchLabelKeys" (list "pod-template-hash")) }}
{{- end }}
{{- $constraints := list }}
{{- range $spread }}
{{- $constraints = append $constraints (hasKey . "labelSelector" | ternary . (merge (dict "labelSelector" (dict "matchLabels" $.selector)) .)) }}
{{- end }}
{{- with $constraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- if not (kindIs "invalid" .settings.hostUsers) }}
hostUsers: {{ .settings.hostUsers }}
{{- end }}
securityContext:
  {{- include "order-platform.podSecurityContext" .root | nindent 2 }}
{{- end }}

{{- /* The ports of a program. Takes a dict: of, values. */ -}}
{{- define "order-platform.ports" -}}
{{- if eq (int .values.metrics.port) (int .values.probes.port) }}
{{- fail (printf "%s.metrics.port and %s.probes.port are both %d: one process cannot listen twice on one port" .of .of (int .values.probes.port)) }}
{{- end -}}
- name: metrics
  containerPort: {{ .values.metrics.port }}
- name: probes
  containerPort: {{ .values.probes.port }}
{{- end }}

{{- /* The probes of a program. Takes its values `probes`. */ -}}
{{- define "order-platform.probes" -}}
startupProbe:
  httpGet: {path: /readyz, port: probes}
  {{- toYaml .startup | nindent 2 }}
livenessProbe:
  httpGet: {path: /livez, port: probes}
  {{- toYaml .liveness | nindent 2 }}
readinessProbe:
  httpGet: {path: /readyz, port: probes}
  {{- toYaml .readiness | nindent 2 }}
{{- end }}

{{- /* A PodDisruptionBudget. Takes a dict: root, name, labels, budget, selector. */ -}}
{{- define "order-platform.budget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ include "order-platform.namespace" .root }}
  labels:
    {{- .labels | nindent 4 }}
spec:
  {{- if kindIs "invalid" .budget.minAvailable }}
  maxUnavailable: {{ .budget.maxUnavailable }}
  {{- else }}
  minAvailable: {{ .budget.minAvailable }}
  {{- end }}
  unhealthyPodEvictionPolicy: {{ .budget.unhealthyPodEvictionPolicy }}
  selector:
    matchLabels:
      {{- toYaml .selector | nindent 6 }}
{{- end }}
