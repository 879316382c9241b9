"""A small training repository in the style of the released codes, written for the tests of the drop-in layers."""

LAYERS = '''
import torch
import torch.nn as nn
import torch.nn.functional as F


class AttentionConv1d(nn.Module):
    """Unfold, scale by the tiled similarity, multiply."""

    def __init__(self, kernel_size, out_channels):
        super().__init__()
        self.kernel_size, self.out_channels = kernel_size, out_channels

    def forward(self, feature, embedding, weight):
        channels, length = feature.shape[1:]
        left, right = F.pad(embedding, (1, 0))[..., :-1], F.pad(embedding, (0, 1))[..., 1:]
        near = torch.stack([F.cosine_similarity(embedding, other, dim=1) for other in (left, embedding, right)], 1)
        columns = F.unfold(feature.unsqueeze(3), (self.kernel_size, 1), padding=(1, 0))
        tiled = near.repeat_interleave(channels, dim=1)
        out = torch.matmul((columns * tiled).transpose(1, 2), weight.reshape(weight.shape[0], -1).t())
        return out.transpose(1, 2).reshape(-1, self.out_channels, length)
'''

MAIN = '''
import json
import sys
import torch
import torch.nn as nn
import torch.nn.functional as F
from layers import AttentionConv1d


class Videos(torch.utils.data.Dataset):
    def __init__(self, count):
        generator = torch.Generator().manual_seed(7)
        self.labels = torch.eye(4)[torch.randint(0, 4, (count,), generator=generator)]
        self.features = torch.randn(count, 24, 40, generator=generator) * 0.5
        for feature, label in zip(self.features, self.labels):
            feature[:4, 10:20] += 2 * label[:, None]

    def __len__(self):
        return len(self.features)

    def __getitem__(self, index):
        return self.features[index], self.labels[index]


class Network(nn.Module):
    def __init__(self, k=5):
        super().__init__()
        self.embed = nn.Conv1d(24, 8, 3, padding=1)
        self.conv_1 = nn.Conv1d(24, 32, 3, padding=1, bias=False)
        self.conv_2 = nn.Conv1d(32, 32, 3, padding=1, bias=False)
        self.conv_1_att = AttentionConv1d(kernel_size=3, out_channels=32)
        self.conv_2_att = AttentionConv1d(kernel_size=3, out_channels=32)
        self.classifier = nn.Conv1d(32, 4, 1, bias=False)
        self.k = k

    def forward(self, x):
        embedding = F.normalize(self.embed(x), p=2, dim=1)
        hidden = F.leaky_relu(self.conv_1_att(x, embedding, self.conv_1.weight))
        hidden = F.leaky_relu(self.conv_2_att(hidden, embedding, self.conv_2.weight))
        cas = self.classifier(hidden)
        return torch.mean(torch.topk(cas, self.k, dim=2)[0], dim=2), cas


if __name__ == "__main__":
    torch.manual_seed(0)
    network = Network().double()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    loader = torch.utils.data.DataLoader(Videos(24), batch_size=8, num_workers=2)
    losses, gradients = [], {}
    for epoch in range(6):
        for features, labels in loader:
            scores, _ = network(features.double())
            loss = F.cross_entropy(scores, labels.double())
            optimizer.zero_grad()
            loss.backward()
            if not losses:
                gradients = {name: value.grad.flatten().tolist() for name, value in network.named_parameters()}
            optimizer.step()
            losses.append(loss.item())
    print(json.dumps({"losses": losses, "gradients": gradients, "names": list(network.state_dict()),
                      "ours": any(name.startswith("wtal_fast") for name in sys.modules)}))
'''
