//! Writes a made-up cluster as `kubectl get … -A -o yaml --show-managed-fields` would: several namespaces, Helm's labels, what
//! admission and the controllers add, custom resources, and statuses. `tests/clusters/shop.yaml` is its output.
//!
//! `cargo run --example cluster_export [json] > tests/clusters/shop.yaml`

use serde_json::{Value, json};

fn main() {
    let list = json!({"apiVersion": "v1", "items": items(), "kind": "List", "metadata": {"resourceVersion": ""}});
    if std::env::args().nth(1).as_deref() == Some("json") {
        println!("{:#}", list);
    } else {
        print!("{}", serde_saphyr::to_string(&list).expect("values are YAML"));
    }
}

const ZONES: [&str; 3] = ["eu-central-1a", "eu-central-1b", "eu-central-1c"];

/// The machines: name, zone, and whether it runs the control plane.
fn nodes() -> Vec<String> {
    (0..6).map(|n| format!("ip-10-0-{}-{}.eu-central-1.compute.internal", 16 * (n % 3), 20 + 7 * n)).collect()
}

fn items() -> Vec<Value> {
    let mut cluster = Cluster::default();
    cluster.nodes();
    cluster.kube_system();
    cluster.ingress();
    cluster.monitoring();
    cluster.shop();
    cluster.data();
    cluster.batch();
    cluster.odds_and_ends();
    cluster.items
}

#[derive(Default)]
struct Cluster {
    items: Vec<Value>,
    uids: u32,
}

/// What is to be known of a workload.
struct Workload<'a> {
    namespace: &'a str,
    name: &'a str,
    chart: &'a str,
    component: &'a str,
    image: &'a str,
    replicas: usize,
    cpu: &'a str,
    memory: &'a str,
    port: u16,
    /// The node of each pod.
    on: &'a [usize],
    /// What goes into the container beside the usual.
    container: Value,
    /// What goes into the pod's spec beside the usual.
    spec: Value,
    /// Pods of these numbers crash.
    crashing: &'a [usize],
}

impl Cluster {
    fn uid(&mut self) -> String {
        self.uids += 1;
        format!("{:08x}-7c3e-4d11-9a52-{:012x}", 0x3b9a_0000u32 + self.uids * 7919, u64::from(self.uids) * 104_729)
    }

    fn push(&mut self, api_version: &str, kind: &str, mut metadata: Value, rest: Value) {
        let uid = self.uid();
        metadata["uid"] = json!(uid);
        metadata["resourceVersion"] = json!((48_213_000 + self.uids * 37).to_string());
        metadata["creationTimestamp"] =
            json!(format!("2026-0{}-1{}T08:1{}:3{}Z", 1 + self.uids % 9, self.uids % 9, self.uids % 6, self.uids % 7));
        if !matches!(kind, "Pod" | "EndpointSlice") {
            metadata["managedFields"] = json!([{"apiVersion": api_version, "fieldsType": "FieldsV1",
                "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:app.kubernetes.io/managed-by": {}}}, "f:spec": {}},
                "manager": "helm", "operation": "Update", "time": "2026-05-12T08:14:31Z"}]);
        }
        let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
        for (key, value) in rest.as_object().into_iter().flatten() {
            object[key] = value.clone();
        }
        self.items.push(object);
    }

    fn nodes(&mut self) {
        for (number, name) in nodes().iter().enumerate() {
            let zone = ZONES[number % 3];
            let labels = json!({
                "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux",
                "failure-domain.beta.kubernetes.io/zone": zone, "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "node.kubernetes.io/instance-type": "m6i.xlarge",
                "topology.kubernetes.io/region": "eu-central-1", "topology.kubernetes.io/zone": zone,
                "eks.amazonaws.com/nodegroup": "general"});
            let condition = |kind: &str, status: &str, reason: &str| {
                json!({"type": kind, "status": status, "reason": reason,
                "lastHeartbeatTime": "2026-06-30T09:59:12Z", "lastTransitionTime": "2026-06-02T11:03:40Z", "message": format!("kubelet reports {reason}")})
            };
            self.push(
                "v1",
                "Node",
                json!({"name": name, "labels": labels, "annotations": {"node.alpha.kubernetes.io/ttl": "0",
                    "volumes.kubernetes.io/controller-managed-attach-detach": "true"}}),
                json!({
                    "spec": {"podCIDR": format!("10.244.{number}.0/24"), "podCIDRs": [format!("10.244.{number}.0/24")],
                        "providerID": format!("aws:///{zone}/i-0a1b2c3d4e5f{number:05}")},
                    "status": {
                        "addresses": [{"address": format!("10.0.{number}.20"), "type": "InternalIP"}, {"address": name, "type": "Hostname"}],
                        "allocatable": {"cpu": "3920m", "ephemeral-storage": "76224326324", "hugepages-2Mi": "0",
                            "memory": "15037428Ki", "pods": "58"},
                        "capacity": {"cpu": "4", "ephemeral-storage": "83873772Ki", "hugepages-2Mi": "0", "memory": "16054260Ki", "pods": "58"},
                        "conditions": [condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                            condition("DiskPressure", "False", "KubeletHasNoDiskPressure"), condition("PIDPressure", "False", "KubeletHasSufficientPID"),
                            condition("Ready", "True", "KubeletReady")],
                        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
                        "nodeInfo": {"architecture": "amd64", "bootID": "0", "containerRuntimeVersion": "containerd://1.7.27",
                            "kernelVersion": "6.1.141", "kubeProxyVersion": "v1.33.2-eks-931bdca", "kubeletVersion": "v1.33.2-eks-931bdca",
                            "machineID": "ec2", "operatingSystem": "linux", "osImage": "Amazon Linux 2023", "systemUUID": "ec2"}}}),
            );
        }
    }

    fn labels(w: &Workload<'_>) -> Value {
        json!({"app.kubernetes.io/component": w.component, "app.kubernetes.io/instance": w.chart,
            "app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/name": w.name, "app.kubernetes.io/part-of": w.chart,
            "helm.sh/chart": format!("{}-4.12.1", w.chart)})
    }

    fn selector(w: &Workload<'_>) -> Value {
        json!({"app.kubernetes.io/instance": w.chart, "app.kubernetes.io/name": w.name})
    }

    fn pod_spec(w: &Workload<'_>) -> Value {
        let mut container = json!({"name": w.name, "image": w.image, "imagePullPolicy": "IfNotPresent",
            "ports": [{"containerPort": w.port, "name": "http", "protocol": "TCP"}],
            "resources": {"limits": {"memory": w.memory}, "requests": {"cpu": w.cpu, "memory": w.memory}},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"});
        for (key, value) in w.container.as_object().into_iter().flatten() {
            container[key] = value.clone();
        }
        let mut spec = json!({"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": "Always",
            "schedulerName": "default-scheduler", "securityContext": {"fsGroup": 65534, "runAsNonRoot": true},
            "serviceAccount": w.name, "serviceAccountName": w.name, "terminationGracePeriodSeconds": 30});
        for (key, value) in w.spec.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        spec
    }

    fn pods(&mut self, w: &Workload<'_>, owner: (&str, &str), names: impl Fn(usize) -> String, hash: Option<&str>) {
        let nodes = nodes();
        for (number, on) in w.on.iter().enumerate() {
            let mut labels = Self::labels(w);
            if let Some(hash) = hash {
                labels["pod-template-hash"] = json!(hash);
            }
            let mut spec = Self::pod_spec(w);
            spec["nodeName"] = json!(nodes[*on]);
            spec["enableServiceLinks"] = json!(true);
            spec["preemptionPolicy"] = json!("PreemptLowerPriority");
            spec["priority"] = json!(0);
            let tolerate =
                |key: &str| json!({"effect": "NoExecute", "key": key, "operator": "Exists", "tolerationSeconds": 300});
            spec["tolerations"] =
                json!([tolerate("node.kubernetes.io/not-ready"), tolerate("node.kubernetes.io/unreachable")]);
            let access = json!({"name": "kube-api-access-x7k2p", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"items": [{"key": "ca.crt", "path": "ca.crt"}], "name": "kube-root-ca.crt"}}]}});
            match spec["volumes"].as_array_mut() {
                Some(volumes) => volumes.push(access),
                None => spec["volumes"] = json!([access]),
            }
            spec["containers"][0]["volumeMounts"] = json!([{"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": "kube-api-access-x7k2p", "readOnly": true}]);
            let crashing = w.crashing.contains(&number);
            let status = if crashing { "False" } else { "True" };
            let condition = |kind: &str, status: &str| {
                json!({"type": kind, "status": status,
                "lastProbeTime": null, "lastTransitionTime": "2026-06-21T07:40:11Z"})
            };
            let state = if crashing {
                json!({"waiting": {"message": format!("back-off 5m0s restarting failed container={}", w.name), "reason": "CrashLoopBackOff"}})
            } else {
                json!({"running": {"startedAt": "2026-06-21T07:40:02Z"}})
            };
            let uid = self.uid();
            self.push(
                "v1",
                "Pod",
                json!({"name": names(number), "namespace": w.namespace, "generateName": format!("{}-", owner.1), "labels": labels,
                    "annotations": {"checksum/config": "2c4f8a9e", "prometheus.io/scrape": "true"},
                    "ownerReferences": [{"apiVersion": "apps/v1", "blockOwnerDeletion": true, "controller": true,
                        "kind": owner.0, "name": owner.1, "uid": uid}]}),
                json!({"spec": spec, "status": {
                    "conditions": [condition("PodReadyToStartContainers", "True"), condition("Initialized", "True"),
                        condition("Ready", status), condition("ContainersReady", status), condition("PodScheduled", "True")],
                    "containerStatuses": [{"containerID": format!("containerd://{:064x}", u128::from(self.uids) * 0x9e37_79b9_7f4a_7c15),
                        "image": w.image, "imageID": format!("{}@sha256:{:064x}", w.image, self.uids), "lastState": {}, "name": w.name,
                        "ready": !crashing, "restartCount": if crashing { 214 } else { 0 }, "started": !crashing, "state": state}],
                    "hostIP": format!("10.0.{on}.20"), "phase": "Running", "podIP": format!("10.244.{on}.{}", 10 + number),
                    "podIPs": [{"ip": format!("10.244.{on}.{}", 10 + number)}], "qosClass": "Burstable", "startTime": "2026-06-21T07:39:58Z"}}),
            );
        }
    }

    fn deployment(&mut self, w: &Workload<'_>) {
        let hash = format!(
            "{:x}",
            0x5d4f_8c7b_u32.wrapping_mul(u32::try_from(w.name.len() + w.namespace.len()).unwrap_or(1)) | 1
        );
        let template = json!({"metadata": {"labels": Self::labels(w), "annotations": {"checksum/config": "2c4f8a9e"}}, "spec": Self::pod_spec(w)});
        let ready = w.on.len() - w.crashing.len();
        self.push(
            "apps/v1",
            "Deployment",
            json!({"name": w.name, "namespace": w.namespace, "generation": 14, "labels": Self::labels(w),
                "annotations": {"deployment.kubernetes.io/revision": "14", "meta.helm.sh/release-name": w.chart,
                    "meta.helm.sh/release-namespace": w.namespace}}),
            json!({"spec": {"progressDeadlineSeconds": 600, "replicas": w.replicas, "revisionHistoryLimit": 10,
                    "selector": {"matchLabels": Self::selector(w)},
                    "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}, "type": "RollingUpdate"}, "template": template},
                "status": {"availableReplicas": ready, "observedGeneration": 14, "readyReplicas": ready, "replicas": w.replicas, "updatedReplicas": w.replicas}}),
        );
        for (revision, hash, replicas) in [("13", "6f7d9c5b84", 0), ("14", hash.as_str(), w.replicas)] {
            let mut labels = Self::labels(w);
            labels["pod-template-hash"] = json!(hash);
            let mut selector = Self::selector(w);
            selector["pod-template-hash"] = json!(hash);
            let mut template = template.clone();
            template["metadata"]["labels"]["pod-template-hash"] = json!(hash);
            let uid = self.uid();
            self.push(
                "apps/v1",
                "ReplicaSet",
                json!({"name": format!("{}-{hash}", w.name), "namespace": w.namespace, "labels": labels,
                    "annotations": {"deployment.kubernetes.io/desired-replicas": w.replicas.to_string(), "deployment.kubernetes.io/revision": revision},
                    "ownerReferences": [{"apiVersion": "apps/v1", "blockOwnerDeletion": true, "controller": true, "kind": "Deployment", "name": w.name, "uid": uid}]}),
                json!({"spec": {"replicas": replicas, "selector": {"matchLabels": selector}, "template": template},
                    "status": {"observedGeneration": 1, "replicas": replicas}}),
            );
        }
        let owner = format!("{}-{hash}", w.name);
        let ends = ["k8x2q", "zv7lm", "4hj9c", "tq5wd", "b2n6r", "9sgkp"];
        self.pods(w, ("ReplicaSet", &owner), |n| format!("{owner}-{}", ends[n % ends.len()]), Some(&hash));
    }

    fn stateful_set(&mut self, w: &Workload<'_>, claim: &str) {
        let template = json!({"metadata": {"labels": Self::labels(w)}, "spec": Self::pod_spec(w)});
        self.push(
            "apps/v1",
            "StatefulSet",
            json!({"name": w.name, "namespace": w.namespace, "generation": 3, "labels": Self::labels(w)}),
            json!({"spec": {"podManagementPolicy": "OrderedReady", "replicas": w.replicas, "revisionHistoryLimit": 10,
                    "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
                    "selector": {"matchLabels": Self::selector(w)}, "serviceName": format!("{}-headless", w.name), "template": template,
                    "updateStrategy": {"rollingUpdate": {"partition": 0}, "type": "RollingUpdate"},
                    "volumeClaimTemplates": [{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim},
                        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "20Gi"}}, "volumeMode": "Filesystem"},
                        "status": {"phase": "Pending"}}]},
                "status": {"availableReplicas": w.replicas, "collisionCount": 0, "currentReplicas": w.replicas, "readyReplicas": w.replicas,
                    "replicas": w.replicas, "observedGeneration": 3}}),
        );
        self.pods(w, ("StatefulSet", w.name), |n| format!("{}-{n}", w.name), None);
    }

    fn daemon_set(&mut self, w: &Workload<'_>) {
        let template = json!({"metadata": {"labels": Self::labels(w)}, "spec": Self::pod_spec(w)});
        self.push(
            "apps/v1",
            "DaemonSet",
            json!({"name": w.name, "namespace": w.namespace, "generation": 2, "labels": Self::labels(w)}),
            json!({"spec": {"revisionHistoryLimit": 10, "selector": {"matchLabels": Self::selector(w)}, "template": template,
                    "updateStrategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}, "type": "RollingUpdate"}},
                "status": {"currentNumberScheduled": 6, "desiredNumberScheduled": 6, "numberAvailable": 6, "numberMisscheduled": 0, "numberReady": 6}}),
        );
        let ends = ["2mxk9", "7hqpw", "c4tzl", "g8rvn", "p5jds", "w3bkf"];
        self.pods(w, ("DaemonSet", w.name), |n| format!("{}-{}", w.name, ends[n % ends.len()]), None);
    }

    fn service(&mut self, w: &Workload<'_>, headless: bool) {
        let name = if headless { format!("{}-headless", w.name) } else { w.name.to_string() };
        let ip = if headless { "None".to_string() } else { format!("172.20.{}.{}", w.name.len(), w.port % 250) };
        self.push(
            "v1",
            "Service",
            json!({"name": name, "namespace": w.namespace, "labels": Self::labels(w),
                "annotations": {"meta.helm.sh/release-name": w.chart, "meta.helm.sh/release-namespace": w.namespace}}),
            json!({"spec": {"clusterIP": ip, "clusterIPs": [ip], "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"],
                    "ipFamilyPolicy": "SingleStack", "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}],
                    "selector": Self::selector(w), "sessionAffinity": "None", "type": "ClusterIP"}, "status": {"loadBalancer": {}}}),
        );
        let endpoint = |(number, on): (usize, &usize)| {
            json!({"addresses": [format!("10.244.{on}.{}", 10 + number)],
            "conditions": {"ready": true, "serving": true, "terminating": false}, "nodeName": nodes()[*on], "zone": ZONES[on % 3]})
        };
        let endpoints: Vec<Value> = w.on.iter().enumerate().map(endpoint).collect();
        self.push(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            json!({"name": format!("{name}-x{}", w.port), "namespace": w.namespace, "labels": {"kubernetes.io/service-name": name,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}}),
            json!({"addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "http", "port": w.port, "protocol": "TCP"}]}),
        );
    }

    fn budget(&mut self, w: &Workload<'_>, mut spec: Value, status: (usize, usize, usize)) {
        spec["selector"] = json!({"matchLabels": Self::selector(w)});
        let (allowed, healthy, desired) = status;
        let reason = if allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
        self.push(
            "policy/v1",
            "PodDisruptionBudget",
            json!({"name": w.name, "namespace": w.namespace, "generation": 1, "labels": Self::labels(w)}),
            json!({"spec": spec, "status": {"conditions": [{"lastTransitionTime": "2026-06-21T07:40:11Z", "message": "", "observedGeneration": 1,
                    "reason": reason, "status": if allowed > 0 { "True" } else { "False" }, "type": "DisruptionAllowed"}],
                "currentHealthy": healthy, "desiredHealthy": desired, "disruptionsAllowed": allowed, "expectedPods": w.replicas, "observedGeneration": 1}}),
        );
    }

    fn kube_system(&mut self) {
        let dns = Workload {
            name: "coredns",
            component: "dns",
            image: "602401143452.dkr.ecr.eu-central-1.amazonaws.com/eks/coredns:v1.11.4",
            port: 9153,
            on: &[0, 1],
            container: json!({"readinessProbe": probe("/ready", 8181)}),
            ..plain("kube-system", "eks")
        };
        self.deployment(&dns);
        self.budget(&dns, json!({"maxUnavailable": 1}), (1, 2, 1));
        self.service(&dns, false);
        for (name, image) in [("kube-proxy", "eks/kube-proxy:v1.33.0"), ("aws-node", "amazon-k8s-cni:v1.19.5")] {
            let spec = json!({"hostNetwork": true, "priorityClassName": "system-node-critical"});
            let tolerates = json!([{"operator": "Exists"}]);
            let mut spec = spec;
            spec["tolerations"] = tolerates;
            self.daemon_set(&Workload {
                name,
                component: "node",
                image,
                on: &[0, 1, 2, 3, 4, 5],
                replicas: 6,
                spec,
                ..plain("kube-system", "eks")
            });
        }
    }

    fn ingress(&mut self) {
        let controller = Workload {
            name: "ingress-nginx-controller",
            component: "controller",
            image: "registry.k8s.io/ingress-nginx/controller:v1.12.3",
            port: 8080,
            on: &[2, 3],
            container: json!({"lifecycle": {"preStop": {"exec": {"command": ["/wait-shutdown"]}}}, "readinessProbe": probe("/healthz", 10254),
                "livenessProbe": probe("/healthz", 10254)}),
            spec: json!({"terminationGracePeriodSeconds": 300}),
            ..plain("ingress-nginx", "ingress-nginx")
        };
        self.deployment(&controller);
        self.budget(&controller, json!({"minAvailable": 1}), (1, 2, 1));
        self.service(&controller, false);
    }

    fn monitoring(&mut self) {
        let prometheus = Workload {
            name: "prometheus",
            component: "server",
            image: "quay.io/prometheus/prometheus:v3.4.1",
            replicas: 1,
            cpu: "500m",
            memory: "2Gi",
            port: 9090,
            on: &[4],
            container: json!({"readinessProbe": probe("/-/ready", 9090)}),
            spec: json!({"volumes": [{"name": "config-out", "emptyDir": {}}]}),
            ..plain("monitoring", "kube-prometheus-stack")
        };
        self.stateful_set(&prometheus, "prometheus-db");
        self.service(&prometheus, true);
        let grafana = Workload {
            name: "grafana",
            component: "ui",
            image: "docker.io/grafana/grafana:12.0.2",
            replicas: 1,
            on: &[5],
            port: 3000,
            ..plain("monitoring", "kube-prometheus-stack")
        };
        self.deployment(&grafana);
        self.service(&grafana, false);
        self.daemon_set(&Workload {
            name: "node-exporter",
            component: "node",
            image: "quay.io/prometheus/node-exporter:v1.9.1",
            on: &[0, 1, 2, 3, 4, 5],
            replicas: 6,
            cpu: "50m",
            memory: "64Mi",
            port: 9100,
            ..plain("monitoring", "kube-prometheus-stack")
        });
        for name in [
            "coredns",
            "kubelet",
            "node-exporter",
            "grafana",
            "prometheus",
            "web",
            "api",
            "checkout",
            "postgres",
            "ingress-nginx",
            "cert-manager",
            "redis",
        ] {
            self.push("monitoring.coreos.com/v1", "ServiceMonitor", json!({"name": name, "namespace": "monitoring", "labels": {"release": "kube-prometheus-stack"}}),
                json!({"spec": {"endpoints": [{"interval": "30s", "port": "http"}], "selector": {"matchLabels": {"app.kubernetes.io/name": name}}}}));
        }
    }

    fn shop(&mut self) {
        let web = Workload {
            name: "web",
            component: "frontend",
            image: "registry.example.com/shop/web:2026.26.1",
            replicas: 4,
            on: &[0, 1, 2, 3],
            container: json!({"readinessProbe": probe("/healthz", 8080), "lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}),
            spec: json!({"topologySpreadConstraints": [{"labelSelector": {"matchLabels": {"app.kubernetes.io/instance": "shop", "app.kubernetes.io/name": "web"}},
                "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}]}),
            ..plain("shop", "shop")
        };
        self.deployment(&web);
        self.budget(&web, json!({"maxUnavailable": "25%"}), (1, 4, 3));
        self.service(&web, false);
        self.push("autoscaling/v2", "HorizontalPodAutoscaler", json!({"name": "web", "namespace": "shop", "labels": Self::labels(&web)}),
            json!({"spec": {"maxReplicas": 12, "metrics": [{"resource": {"name": "cpu", "target": {"averageUtilization": 70, "type": "Utilization"}}, "type": "Resource"}],
                "minReplicas": 4, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
                "status": {"currentReplicas": 4, "desiredReplicas": 4, "currentMetrics": []}}));
        let api = Workload {
            name: "api",
            component: "backend",
            image: "registry.example.com/shop/api:2026.26.1",
            replicas: 3,
            on: &[1, 2, 4],
            cpu: "400m",
            memory: "768Mi",
            container: json!({"readinessProbe": probe("/ready", 8080)}),
            ..plain("shop", "shop")
        };
        self.deployment(&api);
        self.budget(&api, json!({"minAvailable": 2, "unhealthyPodEvictionPolicy": "AlwaysAllow"}), (1, 3, 2));
        self.service(&api, false);
        // the classic: one replica, and a budget that wants it
        let checkout = Workload {
            name: "checkout",
            component: "backend",
            image: "registry.example.com/shop/checkout:2026.25.3",
            replicas: 1,
            on: &[3],
            container: json!({"readinessProbe": probe("/ready", 8080)}),
            ..plain("shop", "shop")
        };
        self.deployment(&checkout);
        self.budget(&checkout, json!({"minAvailable": 1}), (0, 1, 1));
        self.service(&checkout, false);
        // one of two crashes, and the budget wants one: the other cannot go
        let search = Workload {
            name: "search",
            component: "backend",
            image: "registry.example.com/shop/search:2026.24.0",
            replicas: 2,
            on: &[0, 5],
            crashing: &[1],
            container: json!({"readinessProbe": probe("/ready", 8080)}),
            ..plain("shop", "shop")
        };
        self.deployment(&search);
        self.budget(&search, json!({"minAvailable": 1}), (0, 1, 1));
        self.service(&search, false);
    }

    fn data(&mut self) {
        let postgres = Workload {
            name: "postgres",
            component: "primary",
            image: "docker.io/bitnami/postgresql:17.5.0",
            replicas: 3,
            on: &[0, 1, 2],
            cpu: "500m",
            memory: "2Gi",
            port: 5432,
            container: json!({"readinessProbe": {"exec": {"command": ["/bin/sh", "-c", "pg_isready"]}, "failureThreshold": 6, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 5}}),
            spec: json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {"matchLabels": {"app.kubernetes.io/instance": "postgres", "app.kubernetes.io/name": "postgres"}},
                "topologyKey": "kubernetes.io/hostname"}]}}, "terminationGracePeriodSeconds": 60}),
            ..plain("data", "postgres")
        };
        self.stateful_set(&postgres, "data");
        self.budget(&postgres, json!({"maxUnavailable": 1}), (1, 3, 2));
        self.service(&postgres, true);
        self.service(&postgres, false);
        let redis = Workload {
            name: "redis",
            component: "cache",
            image: "docker.io/library/redis:7.4.4",
            replicas: 1,
            on: &[4],
            port: 6379,
            ..plain("data", "redis")
        };
        self.stateful_set(&redis, "data");
        self.service(&redis, false);
    }

    fn batch(&mut self) {
        let node = &nodes()[4];
        self.push("batch/v1", "CronJob", json!({"name": "report", "namespace": "batch"}), json!({"spec": {"schedule": "0 3 * * *", "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "report", "image": "registry.example.com/batch/report:7"}], "restartPolicy": "OnFailure"}}}}},
            "status": {"lastScheduleTime": "2026-06-30T03:00:00Z"}}));
        let labels = json!({"batch.kubernetes.io/job-name": "report-29187540", "job-name": "report-29187540"});
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "report", "image": "registry.example.com/batch/report:7",
            "resources": {"requests": {"cpu": "200m", "memory": "256Mi"}}}], "dnsPolicy": "ClusterFirst", "restartPolicy": "OnFailure", "terminationGracePeriodSeconds": 30}});
        self.push("batch/v1", "Job", json!({"name": "report-29187540", "namespace": "batch", "labels": labels}),
            json!({"spec": {"backoffLimit": 6, "completions": 1, "parallelism": 1, "selector": {"matchLabels": {"batch.kubernetes.io/job-name": "report-29187540"}}, "template": template},
                "status": {"active": 1, "startTime": "2026-06-30T03:00:00Z"}}));
        let mut pod = template["spec"].clone();
        pod["nodeName"] = json!(node);
        for (name, phase, ready) in
            [("report-29187540-6xk8d", "Running", "True"), ("report-29186100-qm2vt", "Succeeded", "False")]
        {
            self.push("v1", "Pod", json!({"name": name, "namespace": "batch", "labels": labels,
                "ownerReferences": [{"apiVersion": "batch/v1", "controller": true, "kind": "Job", "name": "report-29187540", "uid": "0"}]}),
                json!({"spec": pod, "status": {"conditions": [{"type": "Ready", "status": ready}], "phase": phase}}));
        }
    }

    fn odds_and_ends(&mut self) {
        self.push("v1", "Service", json!({"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}}),
            json!({"spec": {"clusterIP": "172.20.0.1", "ports": [{"name": "https", "port": 443, "targetPort": 443}], "type": "ClusterIP"}}));
        for (number, namespace) in ["shop", "data", "monitoring", "ingress-nginx", "batch"].iter().enumerate() {
            for secret in 0..7 {
                self.push(
                    "v1",
                    "Secret",
                    json!({"name": format!("sh.helm.release.v1.{namespace}.v{secret}"), "namespace": namespace}),
                    json!({"type": "helm.sh/release.v1"}),
                );
            }
            self.push(
                "v1",
                "ConfigMap",
                json!({"name": "kube-root-ca.crt", "namespace": namespace}),
                json!({"data": {"ca.crt": "-----"}}),
            );
            self.push(
                "cert-manager.io/v1",
                "Certificate",
                json!({"name": format!("tls-{number}"), "namespace": namespace}),
                json!({"spec": {"secretName": "tls"}}),
            );
        }
        self.push(
            "argoproj.io/v1alpha1",
            "Application",
            json!({"name": "shop", "namespace": "argocd"}),
            json!({"spec": {"project": "default"}, "status": {"sync": {"status": "Synced"}}}),
        );
        self.push(
            "networking.k8s.io/v1",
            "Ingress",
            json!({"name": "web", "namespace": "shop"}),
            json!({"spec": {"ingressClassName": "nginx"}}),
        );
    }
}

fn plain<'a>(namespace: &'a str, chart: &'a str) -> Workload<'a> {
    Workload {
        namespace,
        name: "",
        chart,
        component: "",
        image: "",
        replicas: 2,
        cpu: "100m",
        memory: "256Mi",
        port: 8080,
        on: &[],
        container: json!({}),
        spec: json!({}),
        crashing: &[],
    }
}

fn probe(path: &str, port: u16) -> Value {
    json!({"failureThreshold": 3, "httpGet": {"path": path, "port": port, "scheme": "HTTP"}, "initialDelaySeconds": 5,
        "periodSeconds": 5, "successThreshold": 1, "timeoutSeconds": 1})
}
