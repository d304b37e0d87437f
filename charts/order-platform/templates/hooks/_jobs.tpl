{{- /* A pod that runs the operator's program once. Takes a dict: root, name, account, token, arguments, env (rendered),
      and optionally `containers`, further ones
      (rendered), `files`, volumes mounted by their names, and `volumes` of the further containers. */ -}}
{{- define "order-platform.once" -}}
metadata:
  labels:
    {{- include "order-platform.podLabels" (dict "root" .root "settings" .root.Values.operator "own" (dict "app.kubernetes.io/component" "job")) | nindent 4 }}
  {{- with .root.Values.operator.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  restartPolicy: Never
  {{- include "order-platform.podSpec" (dict "root" .root "component" "operator" "settings" .root.Values.operator "account" .account "token" .token) | nindent 2 }}
  containers:
    - name: {{ .name }}
      image: {{ include "order-platform.image" (dict "image" .root.Values.operator.image "root" .root) | quote }}
      imagePullPolicy: {{ .root.Values.operator.image.pullPolicy }}
      command: {{ prepend .arguments "order-operator" | toJson }}
      env:
        {{- .env | nindent 8 }}
      resources:
        requests: {cpu: 50m, memory: 96Mi}
        limits: {memory: 256Mi}
      securityContext:
        {{- include "order-platform.containerSecurityContext" .root | nindent 8 }}
      {{- $files := .files | default list }}
      {{- if or $files .root.Values.operator.extraVolumeMounts }}
      volumeMounts:
        {{- range $files }}
        - {name: {{ .name }}, mountPath: /etc/order-platform/{{ .name }}, readOnly: true}
        {{- end }}
        {{- with .root.Values.operator.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
    {{- with .containers }}
    {{- . | nindent 4 }}
    {{- end }}
  {{- with concat $files (.volumes | default list) .root.Values.operator.extraVolumes }}
  volumes:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- /* Where the operator's Lease is, and whose orders it carries. */ -}}
{{- define "order-platform.installationEnv" -}}
- name: ORDER_OPERATOR_NAMESPACES
  value: {{ join "," .Values.watch.namespaces | quote }}
- name: ORDER_OPERATOR_LEASE_NAMESPACE
  value: {{ include "order-platform.namespace" . }}
- name: ORDER_OPERATOR_LEASE_NAME
  value: {{ include "order-platform.fullname" . }}-operator
{{- end }}
