// One public cluster and one registry; nothing is kept warm.
using 'main.bicep'

param name = 'fluxless'
param sourceIdentity = true
param durableAlwaysReady = 0
param clusters = [
  {
    name: 'dev'
    resourceId: '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/clusters/providers/Microsoft.ContainerService/managedClusters/dev'
  }
]
param registries = [
  {
    resourceId: '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/registries/providers/Microsoft.ContainerRegistry/registries/example'
    events: true
    abac: false
  }
]
