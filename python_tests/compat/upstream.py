"""A stranger's repository, written by us in the style of its field: evaluator, NMS, post-processing, main script."""

EVALUATOR = '''
import json
import numpy as np

class ANETdetection:
    def __init__(self, ground_truth_filename, prediction_filename, tiou_thresholds, subset):
        self.tiou_thresholds = tiou_thresholds
        self.truth, self.activity_index = [], {}
        for video, entry in json.load(open(ground_truth_filename))["database"].items():
            if entry["subset"] != subset:
                continue
            for one in entry["annotations"]:
                label = self.activity_index.setdefault(one["label"], len(self.activity_index))
                self.truth.append((video, float(one["segment"][0]), float(one["segment"][1]), label))
        self.found = [(video, *one["segment"], self.activity_index[one["label"]], one["score"])
                      for video, rows in json.load(open(prediction_filename))["results"].items() for one in rows]

    def average_precision(self, label, threshold):
        truth = [row for row in self.truth if row[3] == label]
        found = [row for row in self.found if row[3] == label]
        taken, hits = set(), []
        for index in np.array([row[4] for row in found]).argsort()[::-1]:
            video, start, end = found[index][:3]
            rows = [j for j, row in enumerate(truth) if row[0] == video]
            ious = []
            for j in rows:
                inter = max(0.0, min(end, truth[j][2]) - max(start, truth[j][1]))
                ious.append(inter / ((end - start) + (truth[j][2] - truth[j][1]) - inter))
            hits.append(0)
            for k in np.array(ious).argsort()[::-1]:
                if ious[k] < threshold:
                    break
                if rows[k] not in taken:
                    taken.add(rows[k])
                    hits[-1] = 1
                    break
        precision = [sum(hits[:n]) / n for n in range(1, len(hits) + 1)]
        return sum(max(precision[n:]) for n in range(len(hits)) if hits[n]) / len(truth)

    def evaluate(self):
        self.ap = np.array([[self.average_precision(label, threshold) for label in self.activity_index.values()]
                            for threshold in self.tiou_thresholds])
        self.mAP = self.ap.mean(axis=1)
        self.average_mAP = self.mAP.mean()
        return self.mAP, self.average_mAP
'''

POST = '''
import numpy as np

def nms(proposals, thresh):
    proposals = np.array(proposals)
    order, keep = list(proposals[:, 1].argsort()[::-1]), []
    while order:
        best = proposals[order.pop(0)]
        keep.append(best.tolist())
        rest = []
        for i in order:
            inter = max(0.0, min(best[3], proposals[i][3]) - max(best[2], proposals[i][2]) + 1)
            lengths = (best[3] - best[2] + 1) + (proposals[i][3] - proposals[i][2] + 1)
            if inter / (lengths - inter) < thresh:
                rest.append(i)
        order = rest
    return keep
'''

MAIN = '''
import json
import numpy as np
from evaluator import ANETdetection
from post import nms

names = ["jump", "swim"]
proposals = json.load(open("proposals.json"))
results = {}
for video, per_class in proposals.items():
    kept = [row for rows in per_class if rows for row in nms(rows, 0.5)]
    results[video] = [{"label": names[int(c)], "score": s, "segment": [a, b]} for c, s, a, b in kept]
json.dump({"version": "VERSION 1.3", "results": results, "external_data": {}}, open("results.json", "w"))
detection = ANETdetection("gt.json", "results.json", tiou_thresholds=np.linspace(0.1, 0.7, 7), subset="test")
mAP, average_mAP = detection.evaluate()
print(json.dumps({"results": results, "mAP": list(mAP), "average": float(average_mAP), "ap": detection.ap.tolist(),
                  "labels": detection.activity_index, "attributes": float(detection.average_mAP)}))
'''

NMS_1D_CPU = '''
import math
import torch

EPSILON = 1e-6

def overlap(a, b):
    inter = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return inter / ((a[1] - a[0] + EPSILON) + (b[1] - b[0] + EPSILON) - inter)

def nms(segs, scores, iou_threshold):
    rows, waiting, kept = segs.tolist(), scores.sort(dim=0, descending=True, stable=True)[1].tolist(), []
    while waiting:
        kept.append(waiting.pop(0))
        waiting = [i for i in waiting if overlap(rows[kept[-1]], rows[i]) < iou_threshold]
    return torch.tensor(kept, dtype=torch.int64)

def softnms(segs, scores, dets, iou_threshold, sigma, min_score, method):
    rows, left, kept = segs.tolist(), dict(enumerate(scores.tolist())), []
    while left:
        best = max(left, key=lambda i: (left[i], -i))
        dets[len(kept), 0], dets[len(kept), 1], dets[len(kept), 2] = *rows[best], left.pop(best)
        kept.append(best)
        for i in list(left):
            iou = overlap(rows[best], rows[i])
            if method == 0 and iou >= iou_threshold:
                left[i] = 0.0
            elif method == 1 and iou >= iou_threshold:
                left[i] *= 1 - iou
            elif method == 2:
                left[i] *= math.exp(-iou * iou / sigma)
            if left[i] < min_score:
                del left[i]
    return torch.tensor(kept, dtype=torch.int64)
'''

MAIN_TORCH = '''
import json
import torch
import nms_1d_cpu

torch.manual_seed(0)
start = torch.rand(60) * 50
segs, scores = torch.stack([start, start + 1 + 10 * torch.rand(60)], dim=1), torch.rand(60)
out = {"nms": nms_1d_cpu.nms(segs, scores, iou_threshold=0.4).tolist()}
for method in (0, 1, 2):
    dets = segs.new_empty((len(segs), 3))
    inds = nms_1d_cpu.softnms(segs, scores, dets, iou_threshold=0.3, sigma=0.5, min_score=0.2, method=method)
    out[f"soft {method}"], out[f"dets {method}"] = inds.tolist(), dets[:len(inds)].tolist()
dets = segs.new_empty((len(segs), 3))
out["only the best"] = nms_1d_cpu.softnms(segs, scores, dets, 0.3, 0.5, 2.0, 2).tolist()
print(json.dumps(out))
'''
