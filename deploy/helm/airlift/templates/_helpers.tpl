{{/* What all objects of a release are called, and the pods with a number behind it. */}}
{{- define "airlift.name" -}}
{{- if contains "airlift" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-airlift" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "airlift.selector" -}}
app.kubernetes.io/name: airlift
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "airlift.labels" -}}
{{ include "airlift.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}
