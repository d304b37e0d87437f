{{- define "order-platform.name" -}}
{{- include "order-platform.shortened" (dict "name" (.Values.nameOverride | default .Chart.Name) "length" 40) -}}
{{- end }}

{{- /* A name of at most `length` characters. Of a longer one the last nine are a hash of all of it: two that begin alike
      stay two. Takes a dict: name, length. */ -}}
{{- define "order-platform.shortened" -}}
{{- if gt (len .name) (int .length) -}}
{{- printf "%s-%s" (.name | trunc (sub .length 9 | int) | trimSuffix "-") (.name | sha256sum | trunc 8) -}}
{{- else -}}
{{- .name | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "order-platform.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- include "order-platform.shortened" (dict "name" .Values.fullnameOverride "length" 40) -}}
{{- else -}}
{{- $name := include "order-platform.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- include "order-platform.shortened" (dict "name" $full "length" 40) -}}
{{- end -}}
{{- end }}

{{- /* Prefix of what the whole cluster has one of by a name, and of what lies in other namespaces: a second release of this
      name in another namespace has another one. Without an addition where the release lies in a namespace of its own
      name, as the documentation has it. */ -}}
{{- define "order-platform.clusterwide" -}}
{{- $name := include "order-platform.fullname" . -}}
{{- $namespace := include "order-platform.namespace" . -}}
{{- if eq $name $namespace -}}
{{- $name -}}
{{- else -}}
{{- include "order-platform.shortened" (dict "name" (printf "%s-%s" $name $namespace) "length" 45) -}}
{{- end -}}
{{- end }}

{{- define "order-platform.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end }}

{{- define "order-platform.selectorLabels" -}}
app.kubernetes.io/name: {{ include "order-platform.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Of every object; its component is added by whoever has one. */ -}}
{{- define "order-platform.labels" -}}
{{- $own := include "order-platform.selectorLabels" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "order-platform" -}}
{{- toYaml (merge $own (omit .Values.commonLabels "app.kubernetes.io/component" "order-platform.dev/worker")) -}}
{{- end }}

{{- /* Image reference. Takes a dict: image, root. */ -}}
{{- define "order-platform.image" -}}
{{- with .image.registry | default (.root.Values.global).imageRegistry }}{{ trimSuffix "/" . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* A rendered `env`, refused if a name occurs twice: server-side apply would refuse it with less of an explanation.
      Takes a dict: of, env. */ -}}
{{- define "order-platform.env" -}}
{{- $seen := dict -}}
{{- range .env -}}
{{- if hasKey $seen .name }}{{ fail (printf "%s: the variable %s is set twice: remove it from env" $.of .name) }}{{ end -}}
{{- $_ := set $seen .name true -}}
{{- end -}}
{{- toYaml .env -}}
{{- end }}

{{- /* The connection to Temporal. Takes a dict: root, and a namespace that is not the installation's, if any. */ -}}
{{- define "order-platform.temporalEnv" -}}
{{- $temporal := .root.Values.temporal }}
{{- $tls := $temporal.tls }}
{{- $files := "/etc/order-platform/temporal" }}
- name: TEMPORAL_ADDRESS
  value: {{ $temporal.address | quote }}
- name: TEMPORAL_NAMESPACE
  value: {{ .namespace | default $temporal.namespace | quote }}
{{- if or $tls.enabled $tls.serverName $tls.ca.existingSecret.name $tls.certificate.existingSecret.name }}
- name: TEMPORAL_TLS
  value: "true"
{{- end }}
{{- with $tls.serverName }}
- name: TEMPORAL_TLS_SERVER_NAME
  value: {{ . | quote }}
{{- end }}
{{- if $tls.ca.existingSecret.name }}
- name: TEMPORAL_TLS_SERVER_CA_CERT_PATH
  value: {{ $files }}/ca.crt
{{- end }}
{{- if $tls.certificate.existingSecret.name }}
- name: TEMPORAL_TLS_CLIENT_CERT_PATH
  value: {{ $files }}/tls.crt
- name: TEMPORAL_TLS_CLIENT_KEY_PATH
  value: {{ $files }}/tls.key
{{- end }}
{{- if $temporal.apiKey.existingSecret.name }}
- name: TEMPORAL_API_KEY_FILE
  value: {{ $files }}/api-key
{{- end }}
{{- with $temporal.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The files that these variables name, as a list of one volume or none. A whole directory: the kubelet does not
      replace a file mounted by subPath. The API key may be missing, so that it can be taken away. */ -}}
{{- define "order-platform.temporalVolumes" -}}
{{- $tls := .Values.temporal.tls }}
{{- $key := .Values.temporal.apiKey.existingSecret }}
{{- if or $tls.ca.existingSecret.name $tls.certificate.existingSecret.name $key.name }}
- name: temporal
  projected:
    defaultMode: 0440
    sources:
      {{- with $tls.ca.existingSecret }}
      {{- if .name }}
      - secret: {name: {{ .name }}, items: [{key: {{ .key | quote }}, path: ca.crt}]}
      {{- end }}
      {{- end }}
      {{- with $tls.certificate.existingSecret }}
      {{- if .name }}
      - secret: {name: {{ .name }}, items: [{key: {{ .certificate | quote }}, path: tls.crt}, {key: {{ .key | quote }}, path: tls.key}]}
      {{- end }}
      {{- end }}
      {{- if $key.name }}
      - secret: {name: {{ $key.name }}, optional: true, items: [{key: {{ $key.key | quote }}, path: api-key}]}
      {{- end }}
{{- end }}
{{- end }}

{{- define "order-platform.embeddedLedger" -}}
{{- if and (not .Values.ledger.existingSecret.name) (hasPrefix "sqlite" .Values.ledger.url) }}true{{ end }}
{{- end }}
